"""What must always hold for points: balances, the ledger, its chain, and what accounts booked."""

from collections.abc import Iterator

from django.db.models import BigIntegerField, CharField, F, Q, Sum, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from accounts.models import PointsEntry, PointsSource, RegistrationMark, User
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
)


def register() -> None:
    """Register the points ledger and its integrity check."""
    ledgers.register("points", POINTS)
    integrity.checks.register("points", Check(points_add_up, of=(PointsEntry,)))


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
    wrong = unlike(people, lifetime_points=F("due")).order_by("pk")
    for pk, told, due in wrong.values_list("pk", "lifetime_points", "due"):
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
