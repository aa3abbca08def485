"""The WAL in the places of this deployment: packed, each place complete by itself, pruned.

A file lies there under the number of its cluster, so that another cluster's is never mixed in. Its
name does not say its key: age tries those of the ring, and the oldest that is needed is that of the
oldest backup that is kept, which begins before it.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from django.utils.translation import gettext as _

from ops.backups import sealing
from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.places import Place
from ops.backups.wal_folder import REACHED, Reached, reached
from ops.backups.wal_names import PARTIAL, SEGMENT, position, unneeded
from ops.services import key_ring

AGE = ".age"
# What nothing was added to says so only so often: each time is a request that a bucket counts.
STILL = 30.0  # seconds
# So long an archive that no backup needs may have stood still, and is somebody's yet.
LEFT = timedelta(days=1)


# --- Reading --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PlacesArchives:
    """The archives of all clusters in these places."""

    places: Sequence[Place]

    def of(self, system_identifier: str) -> "PlacesArchive":
        """The one of a cluster."""
        return PlacesArchive(self.places, system_identifier)


@dataclass(frozen=True, slots=True)
class PlacesArchive:
    """The archive of a cluster, as the first of the places has it that has one."""

    places: Sequence[Place]
    system_identifier: str

    def names(self) -> Sequence[str]:
        """The names of all files, by PostgreSQL's names for them."""
        place = self._place()
        return [] if place is None else _names(place, self.system_identifier)

    @contextmanager
    def reading(self, name: str) -> Iterator[Readable]:
        """A file in plain bytes; leaving the block raises BackupRefused if it was not whole.

        Raises KeyError where there is none of this name.
        """
        place = self._place()
        if place is None:
            raise KeyError(name)
        try:
            file = place.open_wal(_path(self.system_identifier, name))
        except FileNotFoundError as error:
            raise KeyError(name) from error
        key, *others = key_ring.keys("field")
        unpack = partial(sealing.unpack, file, key=key, or_one_of=others)
        try:
            with file, sealing.piped(unpack) as plain:
                yield plain
        except BackupRefused as refusal:
            said = {"name": name, "place": place.name, "problem": refusal}
            raise BackupRefused(
                _("%(name)s of the WAL in %(place)s: %(problem)s") % said
            ) from refusal

    def _place(self) -> Place | None:
        for place in self.places:
            try:
                place.open_wal(_path(self.system_identifier, REACHED)).close()
            except FileNotFoundError:
                continue
            return place
        return None


def behind(place: Place, system_identifier: str, *, now: datetime) -> timedelta | None:
    """How long ago the WAL of a place was complete; None where it has none of this cluster."""
    has = reached(PlacesArchive([place], system_identifier))
    return None if has is None else max(now - has.at, timedelta())


# --- Writing --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Taking:
    """Takes the files of a receiver away into a place, packed under the newest key."""

    place: Place
    system_identifier: str
    # A folder of this process alone, for what is being packed.
    drafts: Path

    def __call__(self, name: str, source: Readable) -> None:
        """Take one; what was there under its name is replaced. Raises what the place raises."""
        with _draft(self.drafts) as draft:
            with draft.open("xb") as file:
                sealing.pack(source, file, key=key_ring.newest("field"))
            self.place.take_wal(_path(self.system_identifier, name), draft)


@dataclass(slots=True)
class Bringing:
    """Brings another place what the first one has of a cluster's WAL, as it is stored there.

    How far the first one goes is read first and brought last: the other one never says more of
    itself than is there.
    """

    first: Place
    other: Place
    system_identifier: str
    drafts: Path
    # Of what may be replaced, what was brought last.
    _brought: dict[str, str] = field(default_factory=dict, init=False)
    _there: set[str] | None = field(default=None, init=False)
    _told_at: float = field(default=0.0, init=False)

    def bring(self) -> bool:
        """Bring what is new; returns whether anything was. Raises what the places raise."""
        how_far = self._content(REACHED)
        if how_far is None:
            return False
        if self._there is None:
            self._there = set(_names(self.other, self.system_identifier))
        here = _names(self.first, self.system_identifier)
        whole = {name for name in here if _is_whole(name)}
        found = [self._take(name) for name in sorted(whole - self._there)]
        others = {name for name in here if name.removesuffix(PARTIAL) not in whole} - {REACHED}
        found += [self._take_again(name) for name in sorted(others)]
        if not any(found) and time.monotonic() - self._told_at < STILL:
            return False
        self._put(REACHED, how_far)
        self._told_at = time.monotonic()
        return True

    def _take(self, name: str) -> bool:
        content = self._content(name)
        if content is None:
            return False  # pruned meanwhile
        self._put(name, content)
        assert self._there is not None  # noqa: S101  it was looked up before
        self._there.add(name)
        return True

    def _take_again(self, name: str) -> bool:
        content = self._content(name)
        digest = hashlib.sha256(content or b"").hexdigest()
        if content is None or self._brought.get(name) == digest:
            return False
        self._put(name, content)
        self._brought[name] = digest
        return True

    def _content(self, name: str) -> bytes | None:
        """A file as it is stored: of the size of a segment at most, which is some MiB."""
        try:
            with self.first.open_wal(_path(self.system_identifier, name)) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _put(self, name: str, content: bytes) -> None:
        with _draft(self.drafts) as draft:
            draft.write_bytes(content)
            self.other.take_wal(_path(self.system_identifier, name), draft)


# --- Taking away ----------------------------------------------------------------------------------
def prune(
    place: Place, kept: Iterable[Manifest], *, now: datetime, only_look: bool = False
) -> list[str]:
    """Take away the WAL that none of the backups that are kept needs; returns the names.

    The way of a backup begins where it began. Where none of a cluster is kept, its WAL stays from
    its end on for whoever receives it, and goes once nobody did for a day. Call it while the lock
    of backups is held, with all the backups of the place that stay. Raises what the place raises.
    """
    stored: dict[str, list[str]] = {}
    for path in place.wal_names():
        folder, name = path.removesuffix(AGE).split("/")
        stored.setdefault(folder, []).append(name)
    starts: dict[str, list[str]] = {}
    for facts in (manifest.facts for manifest in kept):
        if "start_lsn" in facts:
            starts.setdefault(facts["system_identifier"], []).append(facts["start_lsn"])
    removed = []
    for folder, names in sorted(stored.items()):
        has = reached(PlacesArchive([place], folder))
        for name in _unneeded(names, starts.get(folder, []), has, now=now):
            removed.append(f"{folder}/{name}")
            if not only_look:
                place.remove_wal(_path(folder, name))
    return removed


def _unneeded(
    names: Sequence[str], starts: Sequence[str], has: Reached | None, *, now: datetime
) -> list[str]:
    if has is None:
        # Nobody can say what of it is needed, and nothing can be restored by it.
        return []
    if not starts and now - has.at > LEFT:
        return sorted(names)
    first = min((*starts, has.lsn), key=position)
    return unneeded(names, from_lsn=first, size=has.segment_size)


# --- Names ----------------------------------------------------------------------------------------
def _path(system_identifier: str, name: str) -> str:
    return f"{system_identifier}/{name}{AGE}"


def _names(place: Place, system_identifier: str) -> list[str]:
    start = f"{system_identifier}/"
    return [
        path.removeprefix(start).removesuffix(AGE)
        for path in place.wal_names()
        if path.startswith(start)
    ]


def _is_whole(name: str) -> bool:
    return SEGMENT.fullmatch(name) is not None and PARTIAL not in name


@contextmanager
def _draft(drafts: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=drafts) as folder:
        yield Path(folder) / "file.age"
