"""What pg_basebackup sends: a tar archive that passes by, and its manifest, taken out on the way.

Nothing of it touches a disk of ours in plain bytes.
"""

import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.utils.translation import gettext as _

from ops.backups.cluster import Cluster, one_line
from ops.backups.errors import BackupRefused

# The pieces: the tar archive, and what it says of itself, by the name that PostgreSQL gives it.
DATABASE = "database"
MANIFEST = "backup_manifest"
_BLOCK = tarfile.BLOCKSIZE


class BaseBackup:
    """A tar archive that passes through, and what its member `backup_manifest` said.

    Reading its end raises BackupRefused unless the program succeeded and the manifest came.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", errors: Path) -> None:
        assert process.stdout is not None  # noqa: S101  it was asked for
        self._process, self._source, self._errors = process, process.stdout, errors
        self._header = b""
        self._left = 0  # bytes of the member that still come, its padding included
        self._wanted = 0  # of those, the ones that are the manifest's
        self._taken = bytearray()

    @property
    def manifest(self) -> bytes:
        """What the manifest says; complete once all was read."""
        return bytes(self._taken)

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        data = self._source.read(size)
        self._look(data)
        if not data or size < 0:
            self._end()
        return data

    def _look(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._left:
                step = min(self._left, len(view))
                if self._wanted:
                    taken = min(self._wanted, step)
                    self._taken += view[:taken]
                    self._wanted -= taken
                self._left -= step
            else:
                step = min(_BLOCK - len(self._header), len(view))
                self._header += view[:step]
                if len(self._header) == _BLOCK:
                    self._begin(self._header)
                    self._header = b""
            view = view[step:]

    def _begin(self, header: bytes) -> None:
        if not any(header):
            return  # the end of the archive is empty blocks
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        self._left = -(-member.size // _BLOCK) * _BLOCK
        if member.name == MANIFEST:
            self._wanted = member.size

    def _end(self) -> None:
        if self._process.wait() or not self._taken or self._wanted:
            said = self._errors.read_text(encoding="utf-8", errors="replace")
            raise BackupRefused(_("pg_basebackup failed: %s") % one_line(said))


@contextmanager
def running(
    cluster: Cluster, *, scratch: Path, arguments: Sequence[str] = ()
) -> Iterator[BaseBackup]:
    """Run pg_basebackup and read what it sends; it is stopped when the block is left early."""
    errors = scratch / "pg_basebackup.log"
    command = [
        str(cluster.program("pg_basebackup")),
        *("--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--no-password"),
        *arguments,
    ]
    with errors.open("wb") as output, _stopped(command, cluster, output) as process:
        yield BaseBackup(process, errors)


@contextmanager
def _stopped(
    command: Sequence[str], cluster: Cluster, errors: IO[bytes]
) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(  # noqa: S603  a program of PostgreSQL, and no shell
        command,
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
    )
    try:
        yield process
    finally:
        process.kill()  # does nothing if it has ended
        assert process.stdout is not None  # noqa: S101
        process.stdout.close()
        process.wait()
