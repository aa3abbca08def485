"""What becomes of draws when two accounts are merged: they stay, and the survivor proves them."""

import pytest

from accounts.errors import AccountClosed
from accounts.services import profile
from accounts.tests.factories import merge_into
from lottery.errors import DailyLimitReached, ProofNotRevealed
from lottery.models import Draw, PityCounter, SeedPair, SeedState
from lottery.services import proofs, seeds
from lottery.services.draws import draw
from lottery.tests.factories import draw_once, make_wheel, points_prize
from ops.errors import NotFound
from ops.services import integrity
from tests.api import client_of, data_of
from tests.console import refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db
# So rare that ten draws without it are next to certain.
PITY = points_prize("50", probability="0.0001", is_pity_prize=True)


@pytest.fixture
def survivor():
    return make_person(points=1000)


@pytest.fixture
def merged():
    return make_person(points=1000)


def nothing_is_wrong():
    names = ("points", "merges", "draws", "prizes")
    return [list(integrity.run(name)) for name in names] == [[]] * len(names)


def test_draws_stay_and_are_shown_and_proved_as_ones_own(survivor, merged):
    wheel = make_wheel(PITY, pity_threshold=10)
    mine = draw_once(survivor, wheel)
    theirs = [draw_once(merged, wheel) for _ in range(3)]
    rows = list(Draw.objects.order_by("pk").values())
    with pytest.raises(ProofNotRevealed):
        proofs.proof_of(draw_id=theirs[0].pk, viewer=merged)

    merge_into(survivor, merged)

    client = client_of(survivor)
    records = data_of(client.get("/api/lottery/records", {"wheel_id": wheel.pk}))["items"]
    ids = sorted([str(one.pk) for one in (mine, *theirs)], reverse=True)
    assert [one["draw_id"] for one in records] == ids
    for one in theirs:  # nobody has to change seeds for them
        proof = data_of(client.get(f"/api/lottery/draws/{one.pk}/proof"))
        assert (proof["ticket"], proof["nonce"]) == (one.ticket, one.nonce)
    with pytest.raises(ProofNotRevealed):
        proofs.proof_of(draw_id=mine.pk, viewer=survivor)
    assert profile.statistics(survivor)["draws"] == 4
    assert list(Draw.objects.order_by("pk").values()) == rows
    assert nothing_is_wrong()


def test_they_are_nobody_elses(survivor, merged):
    wheel = make_wheel()
    drawn = draw_once(merged, wheel)
    merge_into(survivor, merged)
    with pytest.raises(NotFound):
        proofs.proof_of(draw_id=drawn.pk, viewer=make_person())


def test_the_seeds_in_use_are_revealed_and_the_next_ones_never_used(survivor, merged):
    active, following = seeds.pairs_of(merged.pk)
    mine = seeds.pairs_of(survivor.pk)
    merge_into(survivor, merged)
    active.refresh_from_db()
    following.refresh_from_db()
    assert (active.state, following.state) == (SeedState.REVEALED, SeedState.NEXT)
    assert active.revealed_at is not None
    assert seeds.pairs_of(survivor.pk) == mine
    assert not SeedPair.objects.filter(person=merged, state=SeedState.ACTIVE).exists()


def test_pity_of_the_survivor_goes_on_and_that_of_the_other_account_lapses(survivor, merged):
    wheel = make_wheel(PITY, pity_threshold=10)
    draw(person_id=survivor.pk, wheel_id=wheel.pk, count=2)
    draw(person_id=merged.pk, wheel_id=wheel.pk, count=5)
    merge_into(survivor, merged)
    assert draw_once(survivor, wheel).pity_before == 2
    assert PityCounter.objects.get(person=merged).current == 5
    assert nothing_is_wrong()


def test_a_merge_gives_nobody_a_second_day(survivor, merged):
    wheel = make_wheel(daily_limit=4)
    draw(person_id=merged.pk, wheel_id=wheel.pk, count=3)
    merge_into(survivor, merged)
    told = data_of(client_of(survivor).get("/api/lottery/config", {"wheel_id": wheel.pk}))
    assert told["remaining_today"] == 1
    draw(person_id=survivor.pk, wheel_id=wheel.pk, count=1)
    with refused_unchanged(), pytest.raises(DailyLimitReached) as refused:
        draw(person_id=survivor.pk, wheel_id=wheel.pk, count=1)
    assert refused.value.data["used"] == 4
    assert nothing_is_wrong()


def test_a_draw_that_was_under_way_meanwhile_is_refused_even_where_it_costs_nothing(
    survivor, merged
):
    wheel = make_wheel(points_prize(probability="1"), cost_points=0)
    seeds.pairs_of(merged.pk)
    merge_into(survivor, merged)
    with refused_unchanged(), pytest.raises(AccountClosed):
        draw(person_id=merged.pk, wheel_id=wheel.pk, count=1)
