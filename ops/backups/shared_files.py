"""The media of backups: the piece that lists the files, and the files that all backups share."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from django.utils.translation import gettext as _

from ops.backups import media, sealing
from ops.backups.byte_stream import ByteStream
from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.media import Listed, OpenFile
from ops.backups.places import WORK, Place
from ops.backups.reading import StoredBackup
from ops.services import key_ring

MEDIA = "media"  # the piece of a backup


def listing(stored: StoredBackup) -> list[Listed]:
    """The files that a backup knows; none where it was made without them.

    Raises BackupRefused where the list is not what was written.
    """
    if all(piece.name != MEDIA for piece in stored.manifest.pieces):
        return []
    with stored.reading(MEDIA) as plain:
        # A pipe is read by lines, and whole before any of them is believed.
        lines = plain.read().splitlines()
    return list(media.read_listing(lines))


def opener(place: Place, manifest: Manifest) -> OpenFile:
    """How the files of a backup are opened in a place, by the key that it was made under."""
    key = key_ring.find("field", manifest.key_id)

    @contextmanager
    def opened(name: str, /) -> Iterator[Readable]:
        said = {"name": name, "backup": manifest.id, "place": place.name}
        try:
            file = place.open_shared(name)
        except FileNotFoundError as error:
            raise BackupRefused(
                _("The file %(name)s of backup %(backup)s is missing in %(place)s.") % said
            ) from error
        try:
            with file, sealing.piped(partial(sealing.unpack, file, key=key)) as plain:
                yield plain
        except BackupRefused as refusal:
            raise BackupRefused(
                _("The file %(name)s of backup %(backup)s in %(place)s: %(problem)s")
                % {**said, "problem": refusal}
            ) from refusal

    return opened


class Keeping:
    """Keeps the files of this moment in the first place, and brings them to others."""

    def __init__(self, first: Place, *, root: Path, with_media: bool = True) -> None:
        self._first, self._work, self._with_media = first, root / WORK, with_media
        self._names: list[str] = []
        # Files that are not what their rows say, or not there, in words.
        self.wrong: Sequence[str] = ()

    def __call__(self) -> Readable:
        """Store what is not there yet; returns the list of all, as a backup has it.

        Raises what the storages and the place raise.
        """
        key = key_ring.newest("field")
        known = set(self._first.shared_names())

        def put(name: str, source: Readable, /) -> None:
            with self._draft() as draft:
                with draft.open("xb") as file:
                    sealing.pack(source, file, key=key)
                self._first.take_shared(name, draft)

        stored = media.store(known=known.__contains__, put_file=put, with_files=self._with_media)
        self.wrong = stored.wrong
        self._names = [file.name for file in stored.listed]
        return ByteStream(stored.listing)

    def bring(self, place: Place) -> None:
        """Bring another place what it lacks of these files, as they are stored."""
        there = set(place.shared_names())
        for name in self._names:
            if name not in there:
                with self._draft() as draft:
                    with self._first.open_shared(name) as source, draft.open("xb") as file:
                        shutil.copyfileobj(source, file, sealing.CHUNK)
                    place.take_shared(name, draft)

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder) / "file.age"
