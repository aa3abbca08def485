"""What `repair_integrity` does about counters of draws and prizes, and says of what it leaves."""

from uuid import UUID

from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from lottery.altered import readable_versions
from lottery.integrity import (
    DRAW,
    GIVEN,
    NONCES,
    PITY,
    PUBLISHED,
    name_draws,
    prizes_in_force,
    recompute,
    times_drawn,
)
from lottery.models import Draw, PityCounter, Prize, SeedPair, Wheel
from lottery.services import seeds
from ops.services import repair
from ops.services.integrity import Subject
from ops.services.ledgers import ledgers
from ops.services.repair import Author, Beyond, BeyondRepair, Findings, Mend

_PROOF = gettext_lazy("a draw is proof: it was decided once, and is not decided anew")
_DECIDE = gettext_lazy("it happened: somebody has to decide what becomes of it")
_LOOK = gettext_lazy("look at the draw in the console")
BEYOND = {
    "proof": Beyond(_PROOF),
    "pity": Beyond(_PROOF),
    "nonces": Beyond(gettext_lazy("nonces that no draw has tell of draws that were removed")),
    "seed": Beyond(gettext_lazy("seeds are made once, and draws are proved by them")),
    "order": Beyond(gettext_lazy("draw and order contradict each other, and one may be forged")),
    "quantity": Beyond(_DECIDE, _LOOK),
    "daily_cap": Beyond(_DECIDE, _LOOK),
}


def register() -> None:
    """Register the repairs of counters, and what is said of rules that nothing sets right."""
    repair.repairers.register(PITY, _pity)
    repair.repairers.register(NONCES, _nonces)
    repair.repairers.register(GIVEN, _given)
    repair.repairers.register(PUBLISHED, _published)
    for rule, said in BEYOND.items():
        repair.beyond.register(rule, said)


# --- Counters of people -------------------------------------------------------------------------
def _is_doubted(person_id: int, findings: Findings) -> bool:
    """Whether draws of a person are in question, or entries by which they paid for some."""
    account = ledgers["points"].name_account(person_id)
    return findings.question(name_draws(person_id)) or findings.question(account)


def _pity(subject: Subject, findings: Findings) -> Mend | Beyond:
    person_id, wheel_id = subject.facts["person_id"], subject.facts["wheel_id"]
    if _is_doubted(person_id, findings):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        due = _hold_draws(person_id).get(wheel_id)
        counters = PityCounter.objects.filter(person=person_id, wheel=wheel_id)
        counter = counters.first() or PityCounter(person_id=person_id, wheel_id=wheel_id)
        if due is None:  # the draws agree with it, unless there are none
            if counter.current and not Draw.objects.filter(person=person_id, wheel=wheel_id):
                due = 0
            else:
                return False
        PityCounter.objects.set_to(due, person_id=person_id, wheel_id=wheel_id)
        before = {"current": counter.current if counter.pk else None}
        repair.record(counters.get(), before=before, after={"current": due}, author=author)
        return True

    said = _("set it to %(due)d, as the draws say") % subject.facts
    return Mend(says=said, make=make)


def _nonces(subject: Subject, findings: Findings) -> Mend | Beyond:
    pair_id, person_id = subject.facts["pair_id"], subject.facts["person_id"]
    if _is_doubted(person_id, findings):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        (pair,) = SeedPair.objects.filter(pk=pair_id).locked()
        _hold_draws(person_id)
        newest = Draw.objects.filter(seed_pair=pair).aggregate(nonce=Max("nonce"))["nonce"]
        due = 0 if newest is None else newest + 1
        if pair.next_nonce >= due:
            return False
        before = {"next_nonce": pair.next_nonce}
        SeedPair.objects.filter(pk=pair_id).update(next_nonce=due)
        repair.record(pair, before=before, after={"next_nonce": due}, author=author)
        return True

    said = _("let it go on with nonce %(due)d, as the draws say") % subject.facts
    return Mend(says=said, make=make)


def _hold_draws(person_id: int) -> dict[int, int]:
    """Keep a person from drawing until commit, and decide their draws again.

    Returns what their wrong pity counters have to be, by wheel. Raises BeyondRepair where a draw is
    in question itself.
    """
    seeds.hold(person_id)
    due: dict[int, int] = {}
    for finding in recompute(Draw.objects.filter(person=person_id), readable_versions()):
        subject = finding.subject
        if subject is None or subject.kind == DRAW:
            raise BeyondRepair(_("the draws that it counts are in question themselves"))
        if subject.kind == PITY:
            due[subject.facts["wheel_id"]] = subject.facts["due"]
    return due


# --- Counts of prizes ---------------------------------------------------------------------------
def _given(subject: Subject, findings: Findings) -> Mend | Beyond:
    prize_id = subject.facts["prize_id"]
    named = [pk for pk in map(_as_uuid, findings.ids("draw")) if pk is not None]
    is_doubted = Draw.objects.filter(prize_id=prize_id, pk__in=named).exists()
    # Given more often than it was drawn: a draw may have been removed, and not be named.
    is_more = subject.facts["told"] > subject.facts["due"]
    if is_doubted or (is_more and (findings.of_kind(DRAW) or named)):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        (prize,) = Prize.objects.filter(pk=prize_id).locked()
        drawn = times_drawn([prize_id])[prize_id]
        that_day = drawn[str(prize.given_on)]
        due: dict[str, int | None] = {"given": drawn.total(), "given_that_day": that_day}
        return _set(prize, due, author)

    return Mend(says=_("count it anew from the draws that gave it"), make=make)


def _published(subject: Subject, findings: Findings) -> Mend | Beyond:
    prize_id = subject.facts["prize_id"]
    if findings.ids("version"):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        wheel_id = Prize.objects.values_list("wheel", flat=True).get(pk=prize_id)
        list(Wheel.objects.filter(pk=wheel_id).locked())
        (prize,) = Prize.objects.filter(pk=prize_id).locked()
        in_force = prizes_in_force(list(readable_versions().values())).get(prize_id)
        if in_force is None:
            return False
        due = {
            "published_quantity": in_force.quantity,
            "published_daily_cap": in_force.daily_cap,
        }
        return _set(prize, due, author)

    return Mend(says=_("allow what was published: quantity and daily cap"), make=make)


def _set(prize: Prize, due: dict[str, int | None], author: Author) -> bool:
    before = {name: getattr(prize, name) for name in due}
    if before == due:
        return False
    Prize.objects.filter(pk=prize.pk).update(**due)
    shop_id = Wheel.objects.values_list("shop", flat=True).get(pk=prize.wheel_id)
    repair.record(prize, before=before, after=due, author=author, shop_id=shop_id)
    return True


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
