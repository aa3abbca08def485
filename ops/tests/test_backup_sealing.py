"""A piece comes back whole, or is refused; nothing of it can be read without the key."""

import errno
import hashlib
import io
import secrets
from functools import partial

import pyrage
import pytest
from django.utils import translation

from ops.backups import sealing
from ops.backups.errors import BackupRefused
from ops.services import key_ring

ROW = b"13800138000 has 4711 points\n"
PLAIN = ROW * 1000 + secrets.token_bytes(3 * sealing.CHUNK)


@pytest.fixture
def key():
    return key_ring.newest("field")


@pytest.fixture
def packed(key):
    out = io.BytesIO()
    sealing.pack(io.BytesIO(PLAIN), out, key=key)
    return out.getvalue()


def unpacking(packed, key):
    return sealing.piped(partial(sealing.unpack, io.BytesIO(packed), key=key))


class Failing:
    """An end that breaks off, as a full disk does."""

    def __init__(self, error):
        self.error = error

    def read(self, size=-1):
        raise self.error

    def write(self, data):
        raise self.error


def test_a_piece_comes_back_whole_with_its_checksums(key):
    out, back = io.BytesIO(), io.BytesIO()
    plain, stored = sealing.pack(io.BytesIO(PLAIN), out, key=key)
    read, written = sealing.unpack(io.BytesIO(out.getvalue()), back, key=key)
    assert back.getvalue() == PLAIN
    assert (
        (plain.size, plain.sha256) == (written.size, written.sha256) == (len(PLAIN), _hash(PLAIN))
    )
    assert (stored.size, stored.sha256) == (read.size, read.sha256)
    assert stored.sha256 == _hash(out.getvalue())


def test_an_empty_piece_comes_back_empty(key):
    out = io.BytesIO()
    sealing.pack(io.BytesIO(b""), out, key=key)
    with unpacking(out.getvalue(), key) as reading:
        assert reading.read() == b""


def test_a_piece_is_read_as_it_is_unpacked(key, packed):
    with unpacking(packed, key) as reading:
        assert b"".join(iter(lambda: reading.read(70_000), b"")) == PLAIN


def test_who_leaves_early_is_told_nothing(key, packed):
    with unpacking(packed, key) as reading:
        assert reading.read(10) == PLAIN[:10]


def stumble_at_the_end(reading):
    while reading.read(sealing.CHUNK):
        pass
    raise ValueError("unexpected end of the archive")


def test_who_stumbles_over_half_a_piece_is_told_of_the_piece(key, packed):
    """A program that reads it says that its input broke off, which is not what is wrong."""
    with pytest.raises(BackupRefused), unpacking(packed[:-1], key) as reading:
        stumble_at_the_end(reading)


def test_a_piece_is_refused_in_the_language_of_whoever_asks(key):
    for language, words in (("en", "cannot be decrypted"), ("zh-hans", "无法解密")):
        with (
            translation.override(language),
            pytest.raises(BackupRefused, match=words),
            unpacking(b"", key) as reading,
        ):
            reading.read()


def test_nothing_of_a_row_can_be_read(packed):
    assert ROW not in packed
    assert b"13800138000" not in packed
    assert packed.startswith(b"age-encryption.org/v1\n")


def test_whoever_has_the_keys_identity_opens_it_without_the_platform(key, packed):
    """Its secret is written as age writes its own, so age's programs take it."""
    identity = pyrage.x25519.Identity.from_str(str(sealing.identity(key)))
    assert len(pyrage.decrypt(packed, [identity])) < len(PLAIN)


def test_each_key_of_the_ring_has_an_identity_of_its_own(settings):
    settings.FIELD_ENCRYPTION_KEYS = ["a" * 40, "b" * 40]
    first, second = (str(sealing.identity(key)) for key in key_ring.keys("field"))
    assert first != second


@pytest.mark.parametrize("at", [0, 30, 200, 1_000_000, -1])
def test_a_flipped_bit_is_refused(key, packed, at):
    damaged = bytearray(packed)
    damaged[at] ^= 1
    with pytest.raises(BackupRefused):
        sealing.unpack(io.BytesIO(damaged), io.BytesIO(), key=key)


@pytest.mark.parametrize("left", [0, 10, 250, 1_000_000, -1])
def test_a_piece_that_was_cut_off_is_refused(key, packed, left):
    with (
        pytest.raises(BackupRefused),
        unpacking(packed[:left], key) as reading,
    ):
        reading.read()


def test_another_key_is_refused(packed, settings):
    settings.FIELD_ENCRYPTION_KEYS = ["another key of forty signs, made up here"]
    with pytest.raises(BackupRefused):
        sealing.unpack(io.BytesIO(packed), io.BytesIO(), key=key_ring.newest("field"))


def test_what_an_end_raises_is_raised(key, packed):
    """A full disk is a full disk: it must not be told as a piece that was altered."""
    full = Failing(OSError(errno.ENOSPC, "No space left on device"))
    for call in (
        lambda: sealing.pack(io.BytesIO(PLAIN), full, key=key),
        lambda: sealing.pack(full, io.BytesIO(), key=key),
        lambda: sealing.unpack(io.BytesIO(packed), full, key=key),
        lambda: sealing.unpack(full, io.BytesIO(), key=key),
    ):
        with pytest.raises(OSError, match="No space left") as caught:
            call()
        assert caught.value is full.error


def _hash(content):
    return hashlib.sha256(content).hexdigest()
