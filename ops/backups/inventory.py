"""What backups a place has, which of them can be read, and what none of them knows any more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ops.backups import reading
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.places import Place
from ops.backups.reading import StoredBackup


@dataclass(frozen=True)
class Inventory:
    """The backups of a place, oldest first, and why others cannot be read, by identifier."""

    backups: Sequence[StoredBackup]
    unreadable: Mapping[str, str]

    @cached_property
    def by_id(self) -> Mapping[str, StoredBackup]:
        """Those that can be read."""
        return {one.manifest.id: one for one in self.backups}

    def chain(self, identifier: str) -> list[Manifest] | None:
        """What a backup follows and itself, the full one first; None where a link is missing.

        Also where another one lies in the place of a link.
        """
        found: list[Manifest] = []
        wanted, seal = identifier, None
        while wanted in self.by_id:
            manifest = self.by_id[wanted].manifest
            if seal not in (None, manifest.seal):
                return None
            found.insert(0, manifest)
            if manifest.parent is None:
                return found
            wanted, seal = manifest.parent, manifest.parent_seal
        return None


def known(place: Place) -> Inventory:
    """Read the manifests of a place. Raises what the disk or the network raises."""
    backups, unreadable = [], {}
    for identifier in place.identifiers():
        try:
            backups.append(reading.find(place, identifier))
        except BackupRefused as refusal:
            unreadable[identifier] = str(refusal)
    # Of two in one second the names say nothing.
    backups.sort(key=lambda one: one.manifest.started_at)
    return Inventory(backups, unreadable)
