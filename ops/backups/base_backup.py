"""What pg_basebackup sends: a tar archive that passes by, and its manifest, taken out on the way.

Nothing of it touches a disk of ours in plain bytes.
"""

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_tools import Parameters

# The pieces: the tar archive, and what it says of itself, by the name that PostgreSQL gives it.
DATABASE = "database"
MANIFEST = "backup_manifest"
_BLOCK = tarfile.BLOCKSIZE


class BaseBackup:
    """A tar archive that passes through, and what its member `backup_manifest` said.

    Reading its end raises BackupRefused where the manifest did not come, and what the source does.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
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
        if (not data or size < 0) and (self._wanted or not self._taken):
            raise BackupRefused(_("pg_basebackup sent no manifest, or a part of it."))
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


@contextmanager
def running(parameters: Parameters, *, arguments: Sequence[str] = ()) -> Iterator[BaseBackup]:
    """Run pg_basebackup and read what it sends; it is stopped when the block is left early."""
    with tools.connected(parameters) as connection:
        program = tools.find("pg_basebackup", server=tools.major_version(connection))
    command = [
        *("--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--no-password"),
        *arguments,
    ]
    with tools.running(program, command, parameters) as output:
        yield BaseBackup(output)
