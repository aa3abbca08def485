"""Where backups lie: a folder of this machine, and a bucket beside it.

In both a backup is a folder of its own, with its manifest and its pieces; files that many backups
know, such as pictures, lie in a shared one, and the WAL in a third. A backup is there once its
manifest is, whole or not at all: in the folder by one rename, in the bucket because the manifest
goes last.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from django.core.files import File
from django.core.files.storage import Storage
from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused
from ops.backups.manifest import ID

MANIFEST = "manifest.json"
SHARED = "shared"
WAL = "wal"
# In a folder, what is being written; cleared by the next command, if this one is killed.
WORK = ".work"


class Place(Protocol):
    """What all places can do. They raise what the disk or the network raises."""

    @property
    def name(self) -> str:
        """Where it is, for people: a path or an address."""
        ...

    def identifiers(self) -> list[str]:
        """The backups that have a manifest here, oldest first."""
        ...

    def open(self, identifier: str, name: str) -> IO[bytes]:
        """A file of a backup. Raises FileNotFoundError."""
        ...

    def take(self, identifier: str, draft: Path) -> None:
        """Keep the finished files of the folder `draft` as this backup; the draft stays as it is.

        Raises BackupRefused where there is a backup of this name.
        """
        ...

    def add(self, identifier: str, name: str, file: Path) -> None:
        """Put a finished small file beside the manifest of a backup that is here.

        One of this name is replaced.
        """
        ...

    def has_shared(self, name: str) -> bool:
        """Whether a shared file is here."""
        ...

    def open_shared(self, name: str) -> IO[bytes]:
        """A shared file. Raises FileNotFoundError."""
        ...

    def take_shared(self, name: str, draft: Path) -> None:
        """Keep a finished file under a shared name (two signs, a slash, the rest).

        One that is here already stays: the name says what is in it.
        """
        ...

    def shared_names(self) -> Iterator[str]:
        """The names of all shared files."""
        ...

    def remove(self, identifier: str) -> None:
        """Take a backup away, its manifest first; nothing where there is none."""
        ...

    def remove_shared(self, name: str) -> None:
        """Take a shared file away; nothing where there is none."""
        ...

    def open_wal(self, name: str) -> IO[bytes]:
        """A file of the WAL, by a folder, a slash, the rest. Raises FileNotFoundError."""
        ...

    def take_wal(self, name: str, draft: Path) -> None:
        """Keep a finished file of the WAL, in one step; one of this name is replaced."""
        ...

    def wal_names(self) -> Iterator[str]:
        """The names of all files of the WAL."""
        ...

    def remove_wal(self, name: str) -> None:
        """Take a file of the WAL away; nothing where there is none."""
        ...


class Folder:
    """A folder of this machine, closed to its other users."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        for folder in (root, root / SHARED, root / WORK):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)  # whatever the mask of the process lets through

    @property
    def name(self) -> str:
        """The path."""
        return str(self._root)

    def identifiers(self) -> list[str]:
        """The backups that have a manifest here, oldest first."""
        found = (path.parent.name for path in self._root.glob(f"*/{MANIFEST}"))
        return sorted(name for name in found if ID.fullmatch(name))

    def open(self, identifier: str, name: str) -> IO[bytes]:
        """A file of a backup."""
        return (self._root / identifier / name).open("rb")

    def take(self, identifier: str, draft: Path) -> None:
        """Keep the files of a draft as this backup, by one rename."""
        final = self._root / identifier
        if final.exists():
            raise BackupRefused(_("There is a backup %s already.") % identifier)
        beside = self._beside(identifier)
        try:
            beside.mkdir(mode=0o700)
            for file in draft.iterdir():
                _keep(file, beside / file.name)
            _sync(beside)
            beside.rename(final)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        _sync(self._root)

    def add(self, identifier: str, name: str, file: Path) -> None:
        """Put a file beside the manifest of a backup, by one rename."""
        beside, final = self._beside(f"{identifier}.{name}"), self._root / identifier / name
        beside.unlink(missing_ok=True)
        _keep(file, beside)
        beside.replace(final)
        _sync(final.parent)

    def has_shared(self, name: str) -> bool:
        """Whether a shared file is here."""
        return self._shared(name).exists()

    def open_shared(self, name: str) -> IO[bytes]:
        """A shared file."""
        return self._shared(name).open("rb")

    def take_shared(self, name: str, draft: Path) -> None:
        """Keep a file under a shared name, by one rename."""
        final = self._shared(name)
        if not final.exists():
            _keep_in_one_step(draft, final, beside=self._beside(final.name))

    def shared_names(self) -> Iterator[str]:
        """The names of all shared files."""
        root = self._root / SHARED
        return (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def remove(self, identifier: str) -> None:
        """Take a backup away, its manifest first, so that half of one is none."""
        folder = self._root / identifier
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_shared(self, name: str) -> None:
        """Take a shared file away."""
        self._shared(name).unlink(missing_ok=True)

    def open_wal(self, name: str) -> IO[bytes]:
        """A file of the WAL."""
        return (self._root / WAL / name).open("rb")

    def take_wal(self, name: str, draft: Path) -> None:
        """Keep a file of the WAL, by one rename."""
        final = self._root / WAL / name
        final.parent.parent.mkdir(mode=0o700, exist_ok=True)
        # Not where drafts are: whoever makes a backup clears them, and this goes on meanwhile.
        beside = final.with_name(f".{final.name}")
        beside.unlink(missing_ok=True)
        _keep_in_one_step(draft, final, beside=beside)

    def wal_names(self) -> Iterator[str]:
        """The names of all files of the WAL."""
        for path in (self._root / WAL).glob("*/[!.]*"):
            yield f"{path.parent.name}/{path.name}"

    def remove_wal(self, name: str) -> None:
        """Take a file of the WAL away."""
        (self._root / WAL / name).unlink(missing_ok=True)

    def _shared(self, name: str) -> Path:
        return self._root / SHARED / name

    def _beside(self, name: str) -> Path:
        return self._root / WORK / name


class Bucket:
    """A storage of Django's, such as S3: what is saved there is whole or not there.

    What is no OSError, as where a vendor is away or refuses, is raised as BackupRefused.
    """

    def __init__(self, storage: Storage, *, name: str) -> None:
        self._storage = storage
        self._name = name

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    def identifiers(self) -> list[str]:
        """The backups that have a manifest here, oldest first."""
        return sorted(
            name
            for name in self._folders("")
            if ID.fullmatch(name) and self._exists(f"{name}/{MANIFEST}")
        )

    def open(self, identifier: str, name: str) -> IO[bytes]:
        """A file of a backup."""
        return self._open(f"{identifier}/{name}")

    def take(self, identifier: str, draft: Path) -> None:
        """Keep the files of a draft as this backup, the manifest last."""
        if self._exists(f"{identifier}/{MANIFEST}"):
            raise BackupRefused(_("There is a backup %s already.") % identifier)
        files = sorted(draft.iterdir(), key=lambda file: (file.name == MANIFEST, file.name))
        for file in files:
            self._save(f"{identifier}/{file.name}", file)

    def add(self, identifier: str, name: str, file: Path) -> None:
        """Put a file beside the manifest of a backup."""
        self._save(f"{identifier}/{name}", file)

    def has_shared(self, name: str) -> bool:
        """Whether a shared file is here."""
        return self._exists(f"{SHARED}/{name}")

    def open_shared(self, name: str) -> IO[bytes]:
        """A shared file."""
        return self._open(f"{SHARED}/{name}")

    def take_shared(self, name: str, draft: Path) -> None:
        """Keep a file under a shared name."""
        if not self.has_shared(name):
            self._save(f"{SHARED}/{name}", draft)

    def shared_names(self) -> Iterator[str]:
        """The names of all shared files."""
        for folder in self._folders(SHARED):
            for name in self._files(f"{SHARED}/{folder}"):
                yield f"{folder}/{name}"

    def remove(self, identifier: str) -> None:
        """Take a backup away, its manifest first, so that half of one is none."""
        self._delete(f"{identifier}/{MANIFEST}")
        for name in self._files(identifier):
            self._delete(f"{identifier}/{name}")

    def remove_shared(self, name: str) -> None:
        """Take a shared file away."""
        self._delete(f"{SHARED}/{name}")

    def open_wal(self, name: str) -> IO[bytes]:
        """A file of the WAL."""
        return self._open(f"{WAL}/{name}")

    def take_wal(self, name: str, draft: Path) -> None:
        """Keep a file of the WAL."""
        self._save(f"{WAL}/{name}", draft)

    def wal_names(self) -> Iterator[str]:
        """The names of all files of the WAL."""
        for folder in self._folders(WAL):
            for name in self._files(f"{WAL}/{folder}"):
                yield f"{folder}/{name}"

    def remove_wal(self, name: str) -> None:
        """Take a file of the WAL away."""
        self._delete(f"{WAL}/{name}")

    def _open(self, path: str) -> IO[bytes]:
        with self._answering():
            file: Any = self._storage.open(path, "rb")
            _fetched = file.file  # S3 does it now, and not where its failure is not expected
            return file  # type: ignore[no-any-return]

    def _exists(self, path: str) -> bool:
        with self._answering():
            return self._storage.exists(path)

    def _save(self, path: str, file: Path) -> None:
        with self._answering(), file.open("rb") as content:
            if not getattr(self._storage, "file_overwrite", False):
                # It would choose another name; S3 that may overwrite is never without the file.
                self._storage.delete(path)
            self._storage.save(path, File(content))

    def _delete(self, path: str) -> None:
        with self._answering():
            self._storage.delete(path)

    def _folders(self, path: str) -> list[str]:
        return self._listed(path)[0]

    def _files(self, path: str) -> list[str]:
        return self._listed(path)[1]

    def _listed(self, path: str) -> tuple[list[str], list[str]]:
        try:
            with self._answering():
                return self._storage.listdir(path)
        except FileNotFoundError:  # a folder says so, S3 answers with nothing
            return [], []

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            raise
        except Exception as error:  # whatever the library of a vendor raises
            said = {"place": self._name, "reason": " ".join(str(error).split())}
            raise BackupRefused(_("%(place)s does not answer: %(reason)s") % said) from error


def _keep_in_one_step(draft: Path, final: Path, *, beside: Path) -> None:
    """Give a finished file its final name by one rename, from another one in the same file system.

    One that has it is replaced.
    """
    if not final.parent.exists():
        final.parent.mkdir(mode=0o700)
        _sync(final.parent.parent)
    try:
        _keep(draft, beside)
        beside.rename(final)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    _sync(final.parent)


def _keep(draft: Path, target: Path) -> None:
    """Give a finished file another name, so that a power cut finds it whole.

    A second name for it where both are on one disk: nothing is copied.
    """
    with draft.open("rb") as reading:
        try:
            os.fsync(reading.fileno())
            os.link(draft, target)
            target.chmod(0o600)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(reading, target)


def _copy(reading: IO[bytes], target: Path) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    """Let a power cut find the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
