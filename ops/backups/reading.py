"""Backups as they are read: believed piece by piece, and only with all they follow."""

from collections.abc import Container, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

from django.utils.translation import gettext as _

from ops.backups import manifest as manifests
from ops.backups import sealing
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest, Piece
from ops.backups.places import MANIFEST, Place
from ops.backups.sealing import Sink
from ops.services import key_ring

LARGEST_MANIFEST = 16 << 20  # bytes


class Nowhere:
    """A sink that keeps nothing: what passes is counted and hashed on its way."""

    def write(self, _data: bytes, /) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """One backup of a place; a link of a chain."""

    place: Place
    manifest: Manifest

    def reading(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A piece in plain bytes; leaving the block raises BackupRefused if it was not whole.

        Raises KeyError where the backup has no piece of this name.
        """
        return sealing.piped(partial(self._unpack, self.manifest.piece(name)))

    def verify(self, *, only: Container[str] | None = None) -> None:
        """Read every piece to its end: as it is stored, and as it was. Raises BackupRefused.

        `only` those of these names, as far as there are any.
        """
        for piece in self.manifest.pieces:
            if only is None or piece.name in only:
                self._unpack(piece, Nowhere())

    def _unpack(self, piece: Piece, sink: Sink) -> None:
        key = key_ring.find("field", self.manifest.key_id)
        with self._opened(piece) as file:
            try:
                stored, plain = sealing.unpack(file, sink, key=key)
            except BackupRefused as refusal:
                raise BackupRefused(self._about(piece, str(refusal))) from refusal
        found = (stored.size, stored.sha256, plain.size, plain.sha256)
        if found != (piece.size, piece.sha256, piece.plain_size, piece.plain_sha256):
            raise BackupRefused(self._about(piece, _("It is not what was written.")))

    @contextmanager
    def _opened(self, piece: Piece) -> Iterator[IO[bytes]]:
        try:
            file = self.place.open(self.manifest.id, f"{piece.name}.age")
        except FileNotFoundError as error:
            raise BackupRefused(self._about(piece, _("It is missing."))) from error
        with file:
            yield file

    def _about(self, piece: Piece, problem: str) -> str:
        said = {"backup": self.manifest.id, "piece": piece.name, "problem": problem}
        return _("Backup %(backup)s, piece %(piece)s: %(problem)s") % said


def find(place: Place, identifier: str) -> StoredBackup:
    """A backup of a place by its identifier. Raises BackupRefused: none, altered, another's."""
    if not manifests.ID.fullmatch(identifier):
        raise BackupRefused(_("%s is no identifier of a backup.") % identifier)
    try:
        with place.open(identifier, MANIFEST) as file:
            content = file.read(LARGEST_MANIFEST)
    except FileNotFoundError as error:
        said = {"backup": identifier, "place": place.name}
        raise BackupRefused(_("There is no backup %(backup)s in %(place)s.") % said) from error
    try:
        manifest = manifests.read(content)
    except BackupRefused as refusal:
        said = {"backup": identifier, "problem": str(refusal)}
        raise BackupRefused(_("Backup %(backup)s: %(problem)s") % said) from refusal
    if manifest.id != identifier:
        said = {"backup": identifier, "other": manifest.id}
        raise BackupRefused(_("Backup %(backup)s: its manifest is that of %(other)s.") % said)
    return StoredBackup(place, manifest)


def chain(place: Place, identifier: str) -> list[StoredBackup]:
    """A backup and all that it follows, the full one first.

    Raises BackupRefused, which names the link that is missing or was exchanged.
    """
    links = [find(place, identifier)]
    while (parent := links[0].manifest.parent) is not None:
        before = find(place, parent)
        if before.manifest.seal != links[0].manifest.parent_seal:
            said = {"backup": links[0].manifest.id, "parent": parent}
            raise BackupRefused(
                _("Backup %(parent)s is not the one that %(backup)s follows: it was exchanged.")
                % said
            )
        links.insert(0, before)
    return links
