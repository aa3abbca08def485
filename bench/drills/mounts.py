"""File systems of a drill's own: small ones, which nobody else sees and which end with it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_own: list[bool] = []


def may_mount() -> bool:
    """Whether this process may mount; from then on what it mounts is seen by itself alone."""
    if not _own:
        _own.append(_leave_the_others())
    return _own[0]


def _leave_the_others() -> bool:
    try:
        os.unshare(os.CLONE_NEWNS)
    except OSError:
        return False
    return _done("mount", "--make-rprivate", "/")


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system of so many MiB in memory, in this empty folder, for whoever owns that."""
    owner = folder.stat()
    said = f"size={megabytes}m,mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    if not _done("mount", "-t", "tmpfs", "-o", said, "tmpfs", str(folder)):
        raise OSError(f"Nothing can be mounted at {folder}.")
    try:
        yield folder
    finally:
        _done("umount", "--lazy", str(folder))


def fill(folder: Path) -> Path:
    """Take all room that is left on a file system, to the last byte."""
    path = folder / "fill"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**20))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    return path


def read_only(folder: Path, *, yes: bool) -> None:
    """Let nobody write to a file system of ours, or everybody again."""
    _done("mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(folder))


def _done(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
