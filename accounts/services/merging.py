"""Merging two accounts of one person, as staff find that they are.

What becomes of each kind of row says the app that has it (`parts`); docs/merging.md says it to
people. What points hang on stays where it is, and the account that goes on reads it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import events
from accounts.errors import AlreadyMerged, MergeOfClosed, MergeOfOne, MergeOfRights
from accounts.metrics import MERGES
from accounts.models import AccountMerge, PointsSource, User, UserStatus
from accounts.services.points import Change, lock_people, write_entries
from accounts.services.welcome import welcome
from ops import security_log
from ops.access import access_of, rights_of
from ops.errors import NotAllowed, NotFound, ValidationFailed
from ops.registry import Registry
from ops.services import audit, key_ring
from ops.services.encryption import keyed_hashes
from ops.transactions import in_transaction

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

PERMISSION = "accounts.merge_user"
LONGEST_REASON = 500  # characters
# A way to sign in: its columns go together, to an account that has none of them.
IDENTITIES = {
    gettext_lazy("phone"): ("phone",),
    gettext_lazy("WeChat"): ("wechat_openid", "wechat_unionid"),
    gettext_lazy("e-mail"): ("email",),
}
AUDITED = (
    "phone",
    "wechat_openid",
    "wechat_unionid",
    "email",
    "status",
    "total_points",
    "lifetime_points",
    "premium_until",
    "merged_into",
)


class Fate(Enum):
    """What becomes of rows that name the account that is merged."""

    STAYS = "stays"  # where it is; the account that goes on reads it and goes on with it
    MOVES = "moves"  # to the account that goes on, unless it has one of its own
    ENDS = "ends"  # with the merged account
    LAPSES = "lapses"  # it stays as history, and nothing goes on from it
    NAMES = "names"  # who did something, which no merge changes
    REFUSES = "refuses"  # as long as there is one, the account is not merged


type Told = tuple["StrOrPromise", int, "StrOrPromise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one app does with its rows of an account that is merged.

    `fates` has the fate of every column that names a person, by model and column. `counts` tells
    staff, before they decide, how much there is: a name, a number, and what becomes of it. `hold`
    takes what has to be locked before people, and `move` does the rest while both are held.
    """

    fates: Mapping[str, Fate]
    counts: Callable[[User], Iterable[Told]] = lambda _merged: ()
    hold: Callable[[int, int], object] = lambda _merged_id, _survivor_id: None
    move: Callable[[User, User], object] = lambda _merged, _survivor: None


parts: Registry[Part] = Registry()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Two accounts, and what a merge of them would do; nothing is done yet."""

    survivor: User
    merged: User
    identities: list[tuple["StrOrPromise", "StrOrPromise"]] = field(default_factory=list)
    rows: list[Told] = field(default_factory=list)


def preview(*, survivor_id: int, merged_id: int, author_id: int) -> Preview:
    """What a merge of these two would do, for staff to look at. Raises what `merge` raises."""
    _check_author(author_id)
    people = User.objects.in_bulk({survivor_id, merged_id})
    survivor, merged = _both(people, survivor_id=survivor_id, merged_id=merged_id)
    _check(survivor, merged)
    return Preview(
        survivor=survivor,
        merged=merged,
        identities=list(_identities_told(survivor, merged)),
        rows=[told for part in parts.values() for told in part.counts(merged)],
    )


def _check_author(author_id: int) -> None:
    """Refuse whoever may not do it on the whole platform: a right at a shop is none here."""
    author = User.objects.get(pk=author_id)
    if not access_of(author).may_everywhere(PERMISSION):
        raise NotAllowed


def _check(survivor: User, merged: User) -> None:
    """Refuse accounts that must not be merged.

    AlreadyMerged for one that is a part of another by now. Neither may be closed (MergeOfClosed):
    by a merge the phone of somebody who is banned would lead to an open account. Neither may have
    rights in the console or work at a shop (MergeOfRights): whoever signs in to the other would
    have them.
    """
    for person in (survivor, merged):
        if person.is_merged:
            raise AlreadyMerged(name=str(person))
        if person.status != UserStatus.ACTIVE:
            raise MergeOfClosed(name=str(person))
        if _has_rights(person):
            raise MergeOfRights(name=str(person))


def _has_rights(person: User) -> bool:
    """Whether anything in the console is theirs: rights, or what a sign-in to it takes."""
    is_known = person.username is not None or person.is_staff
    has_links = person.groups.exists() or person.user_permissions.exists()
    return is_known or has_links or rights_of(person).opens_console


@in_transaction
def merge(*, survivor_id: int, merged_id: int, reason: str, author_id: int) -> AccountMerge:
    """Make one account a part of another, for ever: its points move, and nobody signs in to it.

    Of two phones, e-mails or WeChat identities the survivor's stays, and the other is given up:
    whoever proves it later begins anew, without welcome points. An identity that the survivor has
    not moves. The same merge again changes nothing. Audited, for both. Locks what the parts hold,
    then both people by pk. Raises NotAllowed, NotFound, ValidationFailed without a reason,
    MergeOfOne, AlreadyMerged, MergeOfClosed, MergeOfRights.
    """
    _check_author(author_id)
    if not (reason := reason.strip()):
        raise ValidationFailed({"reason": [_("Say why.")]})
    for part in parts.values():
        part.hold(merged_id, survivor_id)
    people = lock_people([survivor_id, merged_id])
    survivor, merged = _both(people, survivor_id=survivor_id, merged_id=merged_id)
    same = AccountMerge.objects.filter(survivor=survivor, merged=merged).first()
    if same is not None:
        return same
    _check(survivor, merged)
    before = _audited(survivor), _audited(merged)
    cause = AccountMerge(
        merged=merged,
        survivor=survivor,
        points=merged.total_points,
        lifetime_points=merged.lifetime_points,
        author_id=author_id,
        reason=reason[:LONGEST_REASON],
        key_id=key_ring.newest("hash").id,
    )
    cause.proof = proofs_of(cause)[0]
    cause.save(force_insert=True)
    _move_points(cause)
    if merged.phone or merged.wechat_openid:
        # Marked they are already; what is given up here must be, whatever came before.
        welcome(
            person=merged,
            points=0,
            phone=merged.phone or "",
            openid=merged.wechat_openid or "",
        )
    for part in parts.values():
        part.move(merged, survivor)
    _join(cause)
    events.person_closed(merged.pk)
    security_log.note_change("accounts_merged", person_id=survivor.pk, merged_id=merged.pk)
    MERGES.add_on_commit()
    people = User.objects.in_bulk([survivor.pk, merged.pk])
    audit.record_all(
        [
            audit.Change(
                action="user.merge",
                row=people[pk],
                before=earlier,
                after=_audited(people[pk]),
                reason=cause.reason,
            )
            for pk, earlier in zip((survivor.pk, merged.pk), before, strict=True)
        ],
        actor_id=author_id,
    )
    return cause


def proofs_of(cause: AccountMerge) -> list[str]:
    """What a cause may carry, under every key of the ring, newest first.

    Who writes rows without the keys of the platform cannot make one, and so not give the points of
    somebody to somebody else by a pair of entries that adds up.
    """
    said = (
        cause.merged_id, cause.survivor_id, cause.points, cause.lifetime_points, cause.author_id,
    )  # fmt: skip
    return keyed_hashes("account merge", ":".join(map(str, said)))


def _both(people: Mapping[int, User], *, survivor_id: int, merged_id: int) -> tuple[User, User]:
    if survivor_id == merged_id:
        raise MergeOfOne
    if len(people) < len({survivor_id, merged_id}):
        raise NotFound
    return people[survivor_id], people[merged_id]


def _move_points(cause: AccountMerge) -> None:
    """Write the pair of entries, where there are points, and move the lifetime points."""
    if cause.points:
        pair = ((cause.merged, -cause.points), (cause.survivor, cause.points))
        write_entries(
            [
                Change(
                    person=person,
                    points=points,
                    source=PointsSource.MERGE,
                    related_id=str(cause.pk),
                )
                for person, points in pair
            ]
        )
    lifetime = F("lifetime_points")
    User.objects.filter(pk=cause.merged_id).update(lifetime_points=lifetime - cause.lifetime_points)
    User.objects.filter(pk=cause.survivor_id).update(
        lifetime_points=lifetime + cause.lifetime_points
    )


def _join(cause: AccountMerge) -> None:
    """End the merged account, and give its ways to sign in to the survivor where it has none."""
    survivor, merged = cause.survivor, cause.merged
    gained: dict[str, Any] = {
        column: getattr(merged, column)
        for columns in IDENTITIES.values()
        if _moves(columns, survivor, merged)
        for column in columns
    }
    ends = [day for day in (survivor.premium_until, merged.premium_until) if day is not None]
    if survivor.avatar_id is None:
        gained["avatar"] = merged.avatar_id
    # First they are given up, then taken: each is one account's at any time.
    User.objects.filter(pk=merged.pk).update(
        **dict.fromkeys(column for columns in IDENTITIES.values() for column in columns),
        avatar=None,
        premium_until=None,
        status=UserStatus.INACTIVE,
        merged_into=survivor,
        merged_accounts=0,
    )
    User.objects.filter(merged_into=merged).update(merged_into=survivor)
    User.objects.filter(pk=survivor.pk).update(
        **gained,
        premium_until=max(ends, default=None),
        merged_accounts=F("merged_accounts") + 1 + merged.merged_accounts,
    )


def _moves(columns: Iterable[str], survivor: User, merged: User) -> bool:
    """Whether the merged account has this way to sign in, and the survivor has none of it."""
    has, lacks = (
        any(getattr(person, column) for column in columns) for person in (merged, survivor)
    )
    return has and not lacks


def _identities_told(
    survivor: User, merged: User
) -> Iterable[tuple["StrOrPromise", "StrOrPromise"]]:
    for name, columns in IDENTITIES.items():
        if _moves(columns, survivor, merged):
            yield name, gettext_lazy("moves: signing in by it leads to the account that goes on")
        elif any(getattr(merged, column) for column in columns):
            yield (
                name,
                gettext_lazy(
                    "is given up: whoever signs in by it begins anew, without welcome points"
                ),
            )


def _audited(person: User) -> dict[str, Any]:
    return {
        column.name: column.value_from_object(person)
        for column in User._meta.concrete_fields
        if column.name in AUDITED
    }
