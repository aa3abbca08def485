"""What must always hold for points: balances, the ledger, its chain, and what accounts booked."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from django.db.models import BigIntegerField, CharField, F, Q, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from accounts.models import (
    AccountMerge,
    PointsEntry,
    PointsSource,
    RegistrationMark,
    User,
)
from accounts.services import merging
from accounts.services.merged_accounts import survivors
from accounts.services.welcome import proofs_of
from ops.services import integrity
from ops.services.integrity import Check, Finding, unguarded_tables, unlike
from ops.services.ledgers import Ledger, check_causes, check_chains, ledgers

POINTS = Ledger(
    entries=PointsEntry,
    account="user",
    kind="source",
    amount="points",
    balance_after="balance_after",
    balance="total_points",
    version="points_version",
    head="points_hash",
    entry_name="entry",
    account_name="user",
)
# Kinds that are checked: here, and by the apps whose causes they have. A service that begins to
# write another kind brings the check of its causes along.
CHECKED = (
    PointsSource.REGISTER,
    PointsSource.PHOTO_UPLOAD,
    PointsSource.LOTTERY,
    PointsSource.PRIZE,
    PointsSource.EXCHANGE,
    PointsSource.CANCEL,
    PointsSource.MERGE,
)


def register() -> None:
    """Register the points ledger and its integrity check."""
    ledgers.register("points", POINTS)
    integrity.checks.register("points", Check(points_add_up, of=(PointsEntry,)))
    integrity.checks.register("merges", Check(merges_are_whole, of=(AccountMerge,)))


def points_add_up() -> Iterator[Finding]:
    """Recompute every person's chain and what follows from it; judge the kinds of no other app."""
    yield from check_chains(POINTS)
    yield from _lifetime_points()
    yield from _unknown_kinds()
    yield from unguarded_tables(RegistrationMark)
    yield from _welcome_points()


def _lifetime_points() -> Iterator[Finding]:
    from_receipts = Sum(
        "points_entries__points", filter=Q(points_entries__source=PointsSource.PHOTO_UPLOAD)
    )
    people = User.objects.annotate(due=Coalesce(from_receipts, 0, output_field=BigIntegerField()))
    moved: Counter[int] = Counter()
    for merged_id, survivor_id, points in AccountMerge.objects.values_list(
        "merged", "survivor", "lifetime_points"
    ):
        moved[merged_id] -= points
        moved[survivor_id] += points
    # Few were ever merged: for all others the database decides by itself.
    of_merges = Q(pk__in=AccountMerge.objects.values("merged")) | Q(
        pk__in=AccountMerge.objects.values("survivor")
    )
    suspects = (
        unlike(people.exclude(of_merges), lifetime_points=F("due")),
        people.filter(of_merges),
    )
    columns = ("pk", "lifetime_points", "due")
    for pk, told, from_its_receipts in chain.from_iterable(
        some.order_by("pk").values_list(*columns) for some in suspects
    ):
        due = from_its_receipts + moved[pk]
        if told != due:
            problem = _("keeps %(told)d, receipts gave %(due)d") % {"told": told, "due": due}
            yield Finding("lifetime", POINTS.name_account(pk), problem)


def _unknown_kinds() -> Iterator[Finding]:
    entries = unlike(PointsEntry.objects.all(), source__in=CHECKED)
    entries = entries.order_by("user_id", "sequence")
    for person_id, sequence, source in entries.values_list("user_id", "sequence", "source"):
        problem = _("is of the kind %(kind)s, which nothing here writes") % {"kind": source}
        yield Finding("cause", POINTS.name_entry(person_id, sequence), problem)


def _welcome_points() -> Iterator[Finding]:
    """Compare what people were welcomed with with the marks, and these with the platform's keys."""
    marks = RegistrationMark.objects.filter(points__gt=0)
    for mark in marks.order_by("pk").iterator():
        proofs = proofs_of(key_hash=mark.key_hash, person_id=mark.person_id, points=mark.points)
        if mark.proof not in proofs:
            problem = _("was not made by the platform: its proof is wrong")
            yield Finding("welcome", f"registration mark {mark.pk}", problem)
    yield from check_causes(
        POINTS,
        kinds=(PointsSource.REGISTER,),
        due=marks.values_list(
            "person", Value(PointsSource.REGISTER), Cast("person", CharField()), "points"
        ),
        name_cause=lambda kind, cause: f"user {cause}",
    )


# --- Merges -----------------------------------------------------------------------------------
def merges_are_whole() -> Iterator[Finding]:
    """Compare the pairs of entries with the merges that caused them, and people with both."""
    yield from unguarded_tables(AccountMerge)
    yield from _proofs_of_merges()
    yield from _pairs_of_entries()
    yield from _merged_accounts()


def _proofs_of_merges() -> Iterator[Finding]:
    for cause in AccountMerge.objects.order_by("pk").iterator():
        if cause.proof not in merging.proofs_of(cause):
            problem = _("was not made by the platform: its proof is wrong")
            yield Finding("merge", f"merge {cause.pk}", problem)


def _pairs_of_entries() -> Iterator[Finding]:
    """What a merge took at one account it gave at the other, both once: the sum is nothing."""
    causes = AccountMerge.objects.filter(points__gt=0)
    number = Cast("pk", CharField())
    taken = causes.values_list("merged", Value(PointsSource.MERGE), number, F("points") * -1)
    given = causes.values_list("survivor", Value(PointsSource.MERGE), number, F("points"))
    yield from check_causes(
        POINTS,
        kinds=(PointsSource.MERGE,),
        due=taken.union(given, all=True),
        name_cause=lambda kind, cause: f"merge {cause}",
    )


def _merged_accounts() -> Iterator[Finding]:
    """That a merged account says where it went, and an account how many came to it.

    That a merged one keeps nothing, a constraint sees to.
    """
    into_whom = survivors()
    ends = {merged_id: accounts[-1] for merged_id, accounts in into_whom.items()}
    numbers = Counter(ends.values())
    concerned = User.objects.filter(
        Q(merged_into__isnull=False) | Q(merged_accounts__gt=0) | Q(pk__in={*ends, *numbers})
    ).order_by("pk")
    columns = ("pk", "merged_into", "merged_accounts")
    for pk, into, number in concerned.values_list(*columns):
        name = POINTS.name_account(pk)
        if into != ends.get(pk):
            problem = _("says it is a part of account %(told)s, the merges say %(due)s")
            yield Finding("merge", name, problem % {"told": into, "due": ends.get(pk)})
        if number != numbers[pk]:
            problem = _("says %(told)d accounts were merged into it, the merges say %(due)d")
            yield Finding("merge", name, problem % {"told": number, "due": numbers[pk]})
