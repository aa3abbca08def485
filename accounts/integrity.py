"""What must always hold for points: balances, the ledger, its chain, and what accounts booked."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from django.db.models import BigIntegerField, CharField, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from accounts.models import (
    AccountMerge,
    PointsAdjustment,
    PointsEntry,
    PointsSource,
    RegistrationMark,
    User,
)
from accounts.services import adjusting, merging
from accounts.services.merged_accounts import survivors
from accounts.services.welcome import proofs_of
from ops.services import integrity
from ops.services.integrity import Check, Finding, Subject, unguarded_tables, unlike
from ops.services.ledgers import Ledger, check_causes, check_chains, ledgers, without_cause

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
    corrected=lambda: Q(correction__isnull=False),
)
# What a finding is about (`Subject.kind`).
LIFETIME, MERGED_INTO, MERGED_ACCOUNTS = "lifetime points", "merged into", "merged accounts"
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
    PointsSource.ADJUST,
)


def register() -> None:
    """Register the points ledger and its integrity check."""
    ledgers.register("points", POINTS)
    integrity.checks.register("points", Check(points_add_up, of=(PointsEntry,)))
    integrity.checks.register("merges", Check(merges_are_whole, of=(AccountMerge,)))
    integrity.checks.register("adjustments", Check(adjustments_are_whole, of=(PointsAdjustment,)))


def points_add_up() -> Iterator[Finding]:
    """Recompute every person's chain and what follows from it; judge the kinds of no other app."""
    yield from check_chains(POINTS)
    yield from _lifetime_points()
    yield from _unknown_kinds()
    yield from unguarded_tables(RegistrationMark)
    yield from _welcome_points()


def _lifetime_points() -> Iterator[Finding]:
    for pk, told, due in lifetime_points(User.objects.all()):
        if told != due:
            problem = _("keeps %(told)d, receipts gave %(due)d") % {"told": told, "due": due}
            subject = Subject(LIFETIME, facts={"person_id": pk})
            yield Finding("lifetime", POINTS.name_account(pk), problem, subject)


def lifetime_points(people: QuerySet[User]) -> Iterator[tuple[int, int, int]]:
    """What these people keep as their lifetime points, and what receipts, merges, corrections say.

    Yields id, what is kept and what is due; of those with whom all is well not everybody.
    """
    from_receipts = Sum(
        "points_entries__points", filter=Q(points_entries__source=PointsSource.PHOTO_UPLOAD)
    )
    people = people.annotate(due=Coalesce(from_receipts, 0, output_field=BigIntegerField()))
    moved: Counter[int] = Counter()
    for merged_id, survivor_id, points in AccountMerge.objects.values_list(
        "merged", "survivor", "lifetime_points"
    ):
        moved[merged_id] -= points
        moved[survivor_id] += points
    taken_back = PointsAdjustment.objects.filter(corrects__source=PointsSource.PHOTO_UPLOAD)
    for person_id, points in taken_back.values_list("person", "points"):
        moved[person_id] += points
    # With few of them anything moved: for all others the database decides by itself.
    of_moves = (
        Q(pk__in=AccountMerge.objects.values("merged"))
        | Q(pk__in=AccountMerge.objects.values("survivor"))
        | Q(pk__in=taken_back.values("person"))
    )
    suspects = (
        unlike(people.exclude(of_moves), lifetime_points=F("due")),
        people.filter(of_moves),
    )
    columns = ("pk", "lifetime_points", "due")
    for pk, told, from_its_receipts in chain.from_iterable(
        some.order_by("pk").values_list(*columns) for some in suspects
    ):
        yield pk, told, from_its_receipts + moved[pk]


def _unknown_kinds() -> Iterator[Finding]:
    entries = unlike(POINTS.standing, source__in=CHECKED).order_by("user_id", "sequence")
    columns = ("user_id", "sequence", "source", "related_id")
    for person_id, sequence, source, cause in entries.values_list(*columns):
        problem = _("is of the kind %(kind)s, which nothing here writes") % {"kind": source}
        found = without_cause(
            POINTS, account_id=person_id, sequence=sequence, kind=source, cause=cause, never=True
        )
        yield Finding(found.rule, found.object_id, problem, found.subject)


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
            facts = {"person_id": pk, "told": into, "due": ends.get(pk)}
            yield Finding("merge", name, problem % facts, Subject(MERGED_INTO, facts=facts))
        if number != numbers[pk]:
            problem = _("says %(told)d accounts were merged into it, the merges say %(due)d")
            facts = {"person_id": pk, "told": number, "due": numbers[pk]}
            yield Finding("merge", name, problem % facts, Subject(MERGED_ACCOUNTS, facts=facts))


# --- Adjustments ------------------------------------------------------------------------------
def adjustments_are_whole() -> Iterator[Finding]:
    """Compare entries that were booked by hand with the causes that say who did it and why."""
    yield from unguarded_tables(PointsAdjustment)
    for cause in PointsAdjustment.objects.order_by("pk").iterator():
        if cause.proof not in adjusting.proofs_of(cause):
            problem = _("was not made by the platform: its proof is wrong")
            yield Finding("adjustment", f"adjustment {cause.pk}", problem)
    same = Q(person=F("corrects__user"), points=F("corrects__points") * -1)
    wrong = unlike(PointsAdjustment.objects.filter(corrects__isnull=False), same).order_by("pk")
    for pk, entry_id in wrong.values_list("pk", "corrects"):
        problem = _("does not take back what the entry with the id %(entry)d did")
        yield Finding("adjustment", f"adjustment {pk}", problem % {"entry": entry_id})
    yield from check_causes(
        POINTS,
        kinds=(PointsSource.ADJUST,),
        due=PointsAdjustment.objects.values_list(
            "person", Value(PointsSource.ADJUST), Cast("pk", CharField()), "points"
        ),
        name_cause=lambda kind, cause: f"adjustment {cause}",
    )
