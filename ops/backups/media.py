"""The files of the storages in backups: each is stored once, however many backups know it.

Where the pieces lie is not known here: functions say which are there, take new ones and open them.
"""

import hashlib
import hmac
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol

from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.utils.translation import gettext as _

from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.models import StoredFile
from ops.services import key_ring, seal_files
from ops.services.key_ring import Key

CHUNK = 1 << 20  # bytes
IN_MEMORY = 16 << 20  # bytes of a file that are looked at before they are written
# What a file is called that a restore found to be another one than the backup knows.
SET_ASIDE = ".before-restore"
_DEFAULT, _SEALS = "default", "seals"
_PURPOSE = b"names of files in backups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file that a backup knows: where it belongs, what is in it, and its stored piece."""

    storage: str
    path: str
    size: int
    sha256: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """What a backup knows of the storages, and what it could not keep."""

    listed: Sequence[Listed]
    # Pieces that were not there before, and their bytes before they were packed.
    new_files: int
    new_bytes: int
    # Permanent files that are not what their row says, or not there, in words.
    wrong: Sequence[str]

    @property
    def listing(self) -> Iterator[bytes]:
        """The piece that a backup has of it: lines of JSON."""
        return (json.dumps(asdict(file), sort_keys=True).encode() + b"\n" for file in self.listed)

    @property
    def count(self) -> int:
        """How many files it knows."""
        return len(self.listed)

    @property
    def bytes(self) -> int:
        """How many bytes these have in all."""
        return sum(file.size for file in self.listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredMedia:
    """What a restore did to the storages."""

    there: int
    written: int
    # What lay there instead, under the names that it has now.
    set_aside: Sequence[str]


class Known(Protocol):
    """Whether a piece of this name is there already."""

    def __call__(self, name: str, /) -> bool: ...


class PutFile(Protocol):
    """Take one file away under a name, packed. Raises what reading raises; then it is gone."""

    def __call__(self, name: str, source: Readable, /) -> object: ...


class OpenFile(Protocol):
    """A piece in plain bytes; leaving the block raises BackupRefused if it was not whole."""

    def __call__(self, name: str, /) -> AbstractContextManager[Readable]: ...


class _Other(Exception):
    """A file is not what its row says."""


class _Checked:
    """Reads a file, and raises at its end if it was not what its row says."""

    def __init__(self, inner: Readable, *, size: int, sha256: str) -> None:
        self._inner, self._left, self._sha256 = inner, size, sha256
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        self._hash.update(data)
        is_at_the_end = not data or size < 0
        if is_at_the_end and (self._left or self._hash.hexdigest() != self._sha256):
            raise _Other
        return data


def store(*, known: Known, put_file: PutFile, with_files: bool = True) -> StoredMedia:
    """Store the permanent files of people and shops, and those of the seals, as far as needed.

    Those of the seals are few and small, and a backup cannot be proven without them; of the others
    none is stored unless `with_files`.
    A piece that is there is not read again: by its name it is this file with this content. Raises
    what the storage raises when it is away.
    """
    key = key_ring.newest("field")
    listed, new, wrong = [], [], []
    for file, open_it in (*(_of_rows(key) if with_files else ()), *_of_seals(key)):
        if not known(file.name):
            try:
                with open_it() as source:
                    put_file(file.name, _Checked(source, size=file.size, sha256=file.sha256))
            except FileNotFoundError:
                wrong.append(_("%s is missing.") % _in_words(file))
                continue
            except _Other:
                wrong.append(_("%s is not what was stored.") % _in_words(file))
                continue
            new.append(file.size)
        listed.append(file)
    return StoredMedia(listed=listed, new_files=len(new), new_bytes=sum(new), wrong=wrong)


def read_listing(lines: Iterable[bytes]) -> Iterator[Listed]:
    """The files that a backup knows. Raises BackupRefused when it is not what was written."""
    try:
        for line in lines:
            yield Listed(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise BackupRefused(_("The list of files is not what was written.")) from error


def check(listed: Iterable[Listed], *, open_file: OpenFile) -> int:
    """Read every piece and change nothing; returns how many. Raises BackupRefused for the first."""
    count = 0
    for file in listed:
        with _opened_whole(file, open_file):
            count += 1
    return count


def restore(
    listed: Iterable[Listed], *, open_file: OpenFile, into: Mapping[str, Storage]
) -> RestoredMedia:
    """Write what is missing or other in these storages; what they have besides stays.

    A file of the same name with another content is kept under one that ends in `SET_ASIDE`. Raises
    BackupRefused for a piece that is not whole, before the file that it belongs to is touched; done
    again, it goes on.
    """
    there, written, set_aside = 0, 0, list[str]()
    for file in listed:
        storage = into.get(file.storage)
        if storage is None:
            continue
        is_there, sha256 = _found(storage, file.path)
        if is_there and sha256 == file.sha256:
            there += 1
            continue
        with _opened_whole(file, open_file) as content:
            if is_there:
                set_aside.append(_set_aside(storage, file.path))
            _save(storage, file.path, content)
        written += 1
    return RestoredMedia(there=there, written=written, set_aside=set_aside)


# --- What there is --------------------------------------------------------------------------------
_Opening = Callable[[], AbstractContextManager[Any]]


def _of_rows(key: Key) -> Iterator[tuple[Listed, _Opening]]:
    rows = StoredFile.objects.filter(is_temporary=False, storage=_DEFAULT).order_by("pk")
    storage = storages[_DEFAULT]
    for row in rows.only("path", "size", "sha256").iterator(chunk_size=1000):
        file = _listed(key, _DEFAULT, row.path, size=row.size, sha256=row.sha256)
        yield file, _opening(storage, row.path)


def _of_seals(key: Key) -> Iterator[tuple[Listed, _Opening]]:
    """Small ones, and read for their checksum: no row has it."""
    storage = storages[_SEALS]
    for folder in ("", f"{seal_files.SET_ASIDE}/"):
        for name in _names_in(storage, folder):
            path = folder + name
            with storage.open(path) as opened:
                content = opened.read()
            digest = hashlib.sha256(content).hexdigest()
            file = _listed(key, _SEALS, path, size=len(content), sha256=digest)
            yield file, _opening(storage, path)


def _names_in(storage: Storage, folder: str) -> list[str]:
    try:
        _folders, names = storage.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.endswith(".json.gz"))


def _opening(storage: Storage, path: str) -> _Opening:
    return lambda: storage.open(path)


def _listed(key: Key, storage: str, path: str, *, size: int, sha256: str) -> Listed:
    """A name that says nothing of the file, and is another one under another key."""
    secret = hashlib.sha256(_PURPOSE + b":" + key.secret).digest()
    facts = json.dumps([storage, path, size, sha256]).encode()
    digest = hmac.digest(secret, facts, "sha256").hex()
    name = f"{digest[:2]}/{digest}.age"
    return Listed(storage=storage, path=path, size=size, sha256=sha256, name=name)


def _in_words(file: Listed) -> str:
    return f"{file.storage}:{file.path}"


# --- What comes back ------------------------------------------------------------------------------
def _opened_whole(file: Listed, open_file: OpenFile) -> IO[bytes]:
    """The content of a piece, once all of it was read and is what it should be."""
    whole = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  whoever asked closes it
    try:
        with open_file(file.name) as source:
            checked = _Checked(source, size=file.size, sha256=file.sha256)
            while data := checked.read(CHUNK):
                whole.write(data)
    except _Other as error:
        whole.close()
        raise BackupRefused(
            _("%s in the backup is not what was stored.") % _in_words(file)
        ) from error
    except BaseException:
        whole.close()
        raise
    whole.seek(0)
    return whole


def _found(storage: Storage, path: str) -> tuple[bool, str]:
    """Whether there is a file, and its SHA-256."""
    try:
        with storage.open(path) as opened:
            return True, hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return False, ""


def _set_aside(storage: Storage, path: str) -> str:
    with storage.open(path) as present:
        aside = storage.save(path + SET_ASIDE, present)
    storage.delete(path)
    return aside


def _save(storage: Storage, path: str, content: IO[bytes]) -> None:
    saved = storage.save(path, File(content))
    if saved != path:
        raise BackupRefused(
            _("The storage keeps %(path)s as %(saved)s: nobody would find it.")
            % {"path": path, "saved": saved}
        )
