"""What becomes of the rows of accounts when two are merged: points, sign-ins, marks, e-mail."""

from collections.abc import Iterator

from django.contrib.admin.models import LogEntry
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import DeviceSession, EmailLink, User
from accounts.services import avatars, console_devices
from accounts.services.merging import Fate, Part, Told, parts
from ops.models import IdempotencyRecord

FATES = {
    "accounts.PointsEntry.user": Fate.STAYS,
    "accounts.RegistrationMark.person": Fate.STAYS,
    "accounts.AccountMerge.merged": Fate.STAYS,
    "accounts.AccountMerge.survivor": Fate.STAYS,
    "accounts.AccountMerge.author": Fate.NAMES,
    "accounts.PointsAdjustment.person": Fate.STAYS,
    "accounts.PointsAdjustment.author": Fate.NAMES,
    "accounts.User.merged_into": Fate.MOVES,
    "accounts.DeviceSession.user": Fate.ENDS,
    "accounts.ConsoleDevice.person": Fate.ENDS,
    "accounts.EmailLink.person": Fate.ENDS,
    "accounts.SecondFactor.person": Fate.STAYS,
    "accounts.User_groups.user": Fate.REFUSES,
    "accounts.User_user_permissions.user": Fate.REFUSES,
    f"{LogEntry._meta.label}.user": Fate.NAMES,
    # Bare ids: `ops` knows no people.
    "ops.AuditActor.person_id": Fate.NAMES,
    "ops.AuditEntry.actor_id": Fate.NAMES,
    "ops.IdempotencyRecord.owner_id": Fate.MOVES,
    "ops.StoredFile.owner_id": Fate.NAMES,
}


def register() -> None:
    """Register the part of accounts; what other apps do with their rows, each hands in itself."""
    parts.register(
        "accounts", Part(fates=FATES, counts=_counts, hold=_take_keys_over, move=_end_sign_ins)
    )


def _counts(merged: User) -> Iterator[Told]:
    live = DeviceSession.objects.filter(user=merged).live(timezone.now())
    yield _("Points"), merged.total_points, _("move, by an entry at either account")
    yield _("Lifetime points"), merged.lifetime_points, _("move, and count for the tier")
    yield _("Sign-ins"), live.count(), _("end at once")


def _take_keys_over(merged_id: int, survivor_id: int) -> None:
    """Let what was answered to one account be answered to the other: a request sent again.

    Before people are locked, as every request does it. A key that both used stays twice.
    """
    same = IdempotencyRecord.objects.filter(
        owner_id=survivor_id, path=OuterRef("path"), key=OuterRef("key")
    )
    theirs = IdempotencyRecord.objects.filter(~Exists(same), owner_id=merged_id)
    theirs.update(owner_id=survivor_id)


def _end_sign_ins(merged: User, survivor: User) -> None:
    if survivor.avatar_id is not None:  # else it takes the other's
        avatars.let_go(merged)
    now = timezone.now()
    DeviceSession.objects.filter(user=merged, revoked_at=None).update(revoked_at=now)
    EmailLink.objects.filter(person=merged, closed_at=None).update(closed_at=now)
    console_devices.end_all(merged)
