"""Which backups stay, by the policy of the settings, and taking the others away."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ops.backups import deployment, inventory, records, shared_files, wal_archive
from ops.backups.inventory import Inventory
from ops.backups.lock import alone
from ops.backups.manifest import Manifest
from ops.backups.places import Place
from ops.metrics import BACKUPS_REMOVED
from ops.models import Backup
from ops.services import events


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All of the last `days` stay, and the newest of each of so many calendar weeks and months."""

    days: int
    weeks: int = 0
    months: int = 0

    @classmethod
    def of_settings(cls) -> "Policy":
        """The one of this deployment."""
        return cls(
            days=settings.BACKUP_RETENTION_DAYS,
            weeks=settings.BACKUP_RETENTION_WEEKS,
            months=settings.BACKUP_RETENTION_MONTHS,
        )

    def stay(self, backups: Sequence[Manifest], *, now: datetime) -> set[str]:
        """The identifiers of those that stay by their age; the newest one always does."""
        newest_first = sorted(backups, key=lambda one: one.started_at, reverse=True)
        stay = {one.id for one in newest_first[:1]}
        stay |= {one.id for one in newest_first if one.started_at > now - timedelta(days=self.days)}
        for period, number in ((_week, self.weeks), (_month, self.months)):
            newest_of = {period(one): one.id for one in reversed(newest_first)}
            stay |= {newest_of[one] for one in sorted(newest_of, reverse=True)[:number]}
        return stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a pruning took away from a place, or would."""

    place: str
    backups: Sequence[str]
    # Files that no backup knows any more; None where that could not be found out.
    files: int | None


def prune(*, now: datetime, policy: Policy | None = None, only_look: bool = False) -> list[Pruned]:
    """Take backups away that the policy does not keep, from each place; returns what it took.

    What stays keeps all that it follows. A backup that cannot be read stays, since nobody knows
    what it is. The newest proven one stays however old it is. Raises BackupRefused while another
    command works on the backups, and what the disk or the network raises.
    """
    policy = policy or Policy.of_settings()
    places = deployment.places()
    with alone(deployment.root()):
        pruned = [_prune(place, policy, now=now, only_look=only_look) for place in places]
        removed = {one for place in pruned for one in place.backups}
        if removed and not only_look:
            left = {one for place in places for one in place.identifiers()}
            records.mark_removed(removed - left)
            events.record(BACKUPS_REMOVED, count=len(removed))
    return pruned


def _prune(place: Place, policy: Policy, *, now: datetime, only_look: bool) -> Pruned:
    stored = inventory.known(place)
    stay = _with_all_they_follow(
        stored, policy.stay([one.manifest for one in stored.backups], now=now) | _proven(stored)
    )
    leave = [one for one in stored.by_id if one not in stay]
    if not only_look:
        # The youngest first: what is left when it is killed has all that it follows.
        for identifier in reversed(leave):
            place.remove(identifier)
    files = _unneeded(place, stored, stay)
    if not only_look:
        for name in files or ():
            place.remove_shared(name)
    if not stored.unreadable:
        kept = [stored.by_id[one].manifest for one in stay]
        wal_archive.prune(place, kept, now=now, only_look=only_look)
    return Pruned(place=place.name, backups=leave, files=None if files is None else len(files))


def _proven(stored: Inventory) -> set[str]:
    """The newest proven one of a place: the only one of which it is known that it is of use."""
    proven = Backup.objects.filter(proven_at__isnull=False, identifier__in=list(stored.by_id))
    newest = proven.order_by("-started_at").values_list("identifier", flat=True).first()
    return set() if newest is None else {newest}


def _with_all_they_follow(stored: Inventory, identifiers: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for identifier in identifiers:
        link = stored.by_id.get(identifier)
        while link is not None and link.manifest.id not in found:
            found.add(link.manifest.id)
            link = stored.by_id.get(link.manifest.parent or "")
    return found


def _unneeded(place: Place, stored: Inventory, stay: set[str]) -> list[str] | None:
    """The shared files that none of those that stay knows; None where one of them is not read."""
    if stored.unreadable:
        return None
    known = {file.name for one in stay for file in shared_files.listing(stored.by_id[one])}
    return [name for name in place.shared_names() if name not in known]


def _week(manifest: Manifest) -> tuple[int, int]:
    year, week, _day = _local(manifest).isocalendar()
    return year, week


def _month(manifest: Manifest) -> tuple[int, int]:
    moment = _local(manifest)
    return moment.year, moment.month


def _local(manifest: Manifest) -> datetime:
    return timezone.localtime(manifest.started_at)
