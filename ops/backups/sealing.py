"""How a piece is packed: Zstandard, then age (X25519, ChaCha20-Poly1305) under a key of the ring.

age is a format of its own (https://age-encryption.org/v1): whoever has the key opens a piece
without this platform. Its identity follows from the ring's key, so there is no second secret.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any, Protocol

import pyrage
import zstandard
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.utils import translation
from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused
from ops.services.key_ring import Key

COMPRESSION = "zstd"
LEVEL = 3
CHUNK = 1 << 20  # bytes
_PURPOSE = b"age identity of backups"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of them."""
        ...


class Passing:
    """A source or a sink that counts and hashes what passes, and remembers why it broke off.

    age, written in Rust, tells of an exception in words alone.
    """

    def __init__(self, inner: _Source | Sink) -> None:
        self._inner: Any = inner
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: Exception | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Read from the source behind."""
        return self._pass(self._did(self._inner.read, size))

    def write(self, data: bytes, /) -> int:
        """Write to the sink behind."""
        self._did(self._inner.write, data)
        return len(self._pass(data))

    def flush(self) -> None:
        """Nothing waits here; age asks for it."""

    @property
    def sha256(self) -> str:
        """Of what has passed, in hexadecimal."""
        return self._hash.hexdigest()

    def _did(self, call: Callable[[Any], Any], argument: object) -> Any:
        try:
            return call(argument)
        except Exception as error:
            self.error = error
            raise

    def _pass(self, data: bytes) -> bytes:
        self.size += len(data)
        self._hash.update(data)
        return data


def pack(source: _Source, sink: Sink, *, key: Key) -> tuple[Passing, Passing]:
    """Compress and encrypt a source to its end; returns what went in and what came out.

    Raises what reading and writing raise.
    """
    plain, stored = Passing(source), Passing(sink)
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    with (
        _own_errors(plain, stored),
        compressor.stream_reader(plain, closefd=False) as packed,  # type: ignore[arg-type]
    ):
        pyrage.encrypt_io(packed, stored, [identity(key).to_public()])
    return plain, stored


def unpack(
    source: _Source, sink: Sink, *, key: Key, or_one_of: Sequence[Key] = ()
) -> tuple[Passing, Passing]:
    """Decrypt and unpack a source to its end; returns what went in and what came out.

    Where nothing says which key it has, `or_one_of` names the others that it may have; age finds
    the one that fits. Raises BackupRefused unless it is whole and of such a key, and what reading
    and writing raise.
    """
    stored, plain = Passing(source), Passing(sink)
    try:
        with (
            _own_errors(stored, plain),
            zstandard.ZstdDecompressor().stream_writer(plain, closefd=False) as unpacked,  # type: ignore[arg-type]
        ):
            pyrage.decrypt_io(stored, unpacked, [identity(one) for one in (key, *or_one_of)])
    except (pyrage.DecryptError, zstandard.ZstdError, _Broken) as error:
        raise BackupRefused(
            _("It cannot be decrypted: it was altered, cut off, or has another key.")
        ) from error
    return stored, plain


@contextmanager
def piped(work: Callable[[IO[bytes]], object]) -> Iterator[IO[bytes]]:
    """Read what `work` writes to the file that it is given, as it writes it.

    Leaving the block raises what `work` raised, also where the reader stumbled over what came of
    it. Whoever leaves early is not told whether the rest is whole.
    """
    reading_end, writing_end = os.pipe()
    failures: list[Exception] = []
    language = translation.get_language()

    def write() -> None:
        try:
            with (
                translation.override(language),  # a thread has a language of its own
                os.fdopen(writing_end, "wb", buffering=CHUNK) as sink,
            ):
                work(sink)
        except BrokenPipeError:
            pass  # the reader has left
        except Exception as error:  # noqa: BLE001  whoever reads gets it
            failures.append(error)

    writer = threading.Thread(target=write, name="unpacking a backup", daemon=True)
    writer.start()
    try:
        with os.fdopen(reading_end, "rb") as pipe:
            yield pipe
    finally:
        writer.join()
        if failures:
            raise failures[0]


class _Broken(Exception):
    """age says of a piece that it is not what was written."""


@contextmanager
def _own_errors(*ends: Passing) -> Iterator[None]:
    """Raise what an end raised, where age or Zstandard made other words of it."""
    try:
        yield
    except Exception as error:
        for end in ends:
            if end.error is not None:
                raise end.error from None
        if isinstance(error, OSError):
            raise _Broken from error
        raise


@lru_cache(maxsize=32)
def identity(key: Key) -> pyrage.x25519.Identity:
    """age's secret for a key of the ring: HKDF-SHA256, so that neither says anything of the other.

    Written as age writes its own: Bech32 (BIP 173) of 32 bytes, in capitals.
    """
    secret = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key.secret)
    return pyrage.x25519.Identity.from_str(_bech32("age-secret-key-", secret).upper())


def _bech32(prefix: str, content: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in content)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[start : start + 5], 2) for start in range(0, len(bits), 5)]
    expanded = [ord(sign) >> 5 for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix]
    rest = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    check = [rest >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return f"{prefix}1{''.join(_BECH32[value] for value in [*values, *check])}"


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check
