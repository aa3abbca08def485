"""Seeds: committed to before they are used, revealed when changed, seen by nobody before."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from lottery.decision import hash_seed
from lottery.errors import ProofNotRevealed
from lottery.models import Draw, PityCounter, SeedPair, SeedState
from lottery.services import seeds
from lottery.services.draws import draw
from lottery.services.proofs import proof_of
from lottery.tests.factories import draw_once, make_wheel
from ops.errors import NotFound
from tests.people import give, make_person

pytestmark = pytest.mark.django_db


def test_the_first_look_makes_a_pair_in_use_and_the_next():
    person = make_person()
    active, following = seeds.pairs_of(person.pk)
    assert (active.state, following.state) == (SeedState.ACTIVE, SeedState.NEXT)
    assert (len(active.client_seed), following.client_seed) == (32, "")
    assert (active.client_seed_by, following.client_seed_by) == ("server", "server")
    assert active.server_seed_hash != following.server_seed_hash
    assert [pair.pk for pair in seeds.pairs_of(person.pk)] == [active.pk, following.pk]
    assert SeedPair.objects.count() == 2


def test_a_pair_in_use_without_a_next_one_gets_one():
    """Nobody's doing but a hand's; every look and every change failed by it."""
    person = make_person()
    active, _following = seeds.pairs_of(person.pk)
    SeedPair.objects.filter(person=person, state=SeedState.NEXT).delete()
    assert [pair.state for pair in seeds.pairs_of(person.pk)] == [SeedState.ACTIVE, SeedState.NEXT]
    assert seeds.pairs_of(person.pk)[0].pk == active.pk
    SeedPair.objects.filter(person=person, state=SeedState.NEXT).delete()
    rotation = seeds.rotate(person_id=person.pk)
    assert rotation.revealed.pk == active.pk
    assert [pair.pk for pair in seeds.pairs_of(person.pk)] == [rotation.active.pk, rotation.next.pk]


def test_the_seed_is_encrypted_and_its_hash_is_its_own():
    active, _following = seeds.pairs_of(make_person().pk)
    server_seed = seeds.reveal(active)
    assert len(bytes.fromhex(server_seed)) == 32
    assert hash_seed(server_seed) == active.server_seed_hash
    assert server_seed not in active.server_seed_encrypted


def test_a_rotation_reveals_the_old_and_uses_what_was_shown():
    person, wheel = make_person(points=1000), make_wheel()
    draw(person_id=person.pk, wheel_id=wheel.pk, count=4)
    active, following = seeds.pairs_of(person.pk)

    rotation = seeds.rotate(person_id=person.pk, client_seed="my choice")

    assert (rotation.revealed.pk, rotation.revealed.next_nonce) == (active.pk, 4)
    assert hash_seed(rotation.server_seed) == active.server_seed_hash
    assert rotation.active.server_seed_hash == following.server_seed_hash
    assert (rotation.active.client_seed, rotation.active.next_nonce) == ("my choice", 0)
    assert (rotation.revealed.client_seed_by, rotation.active.client_seed_by) == (
        "server",
        "client",
    )
    assert rotation.next.server_seed_hash not in {
        active.server_seed_hash,
        following.server_seed_hash,
    }
    now_active, now_next = seeds.pairs_of(person.pk)
    assert (now_active.pk, now_next.pk) == (following.pk, rotation.next.pk)
    active.refresh_from_db()
    assert active.state == SeedState.REVEALED
    assert active.revealed_at == now_active.activated_at
    assert draw_once(person, wheel).nonce == 0


def test_somebody_who_never_drew_changes_seeds_as_well():
    rotation = seeds.rotate(person_id=make_person().pk)
    assert rotation.revealed.next_nonce == 0
    assert len(rotation.active.client_seed) == 32


@pytest.mark.parametrize("sent", [None, "mine"])
def test_a_change_without_a_client_seed_keeps_the_one_in_use(sent):
    person = make_person()
    before = seeds.rotate(person_id=person.pk, client_seed=sent).active
    for _ in range(2):
        after = seeds.rotate(person_id=person.pk).active
        assert after.pk != before.pk
        assert (after.client_seed, after.client_seed_by) == (
            before.client_seed,
            "server" if sent is None else "client",
        )


def test_the_same_client_seed_sent_twice_stays_the_clients():
    person = make_person()
    for _ in range(2):
        active = seeds.rotate(person_id=person.pk, client_seed="mine").active
        assert (active.client_seed, active.client_seed_by) == ("mine", "client")


def test_a_seed_of_the_server_that_is_sent_back_stays_the_servers():
    person = make_person()
    shown = seeds.pairs_of(person.pk)[0].client_seed
    for sent in (shown, "mine", shown):
        active = seeds.rotate(person_id=person.pk, client_seed=sent).active
        assert (active.client_seed, active.client_seed_by) == (
            sent,
            "client" if sent == "mine" else "server",
        )
    # What the server made for somebody else, this person may have thrown as well.
    active = seeds.rotate(person_id=make_person().pk, client_seed=shown).active
    assert active.client_seed_by == "client"


def test_a_seed_of_no_characters_changes_nothing():
    person = make_person()
    before = seeds.pairs_of(person.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        seeds.rotate(person_id=person.pk, client_seed="")
    assert seeds.pairs_of(person.pk) == before
    assert SeedPair.objects.count() == 2


def test_nothing_shows_a_seed_by_accident():
    person = make_person(points=100)
    one = draw_once(person, make_wheel())
    server_seed = seeds.reveal(one.seed_pair)
    rotation = seeds.rotate(person_id=person.pk)
    proof = proof_of(draw_id=one.pk, viewer=person)
    assert proof.server_seed == server_seed
    for shown in (one.seed_pair, rotation, proof):
        assert server_seed not in repr(shown)
        assert server_seed not in str(shown)


def test_the_proof_waits_for_the_rotation_and_is_for_who_drew_and_for_staff(cast):
    give(cast.customer, 100)
    one = draw_once(cast.customer, make_wheel())
    for viewer in (cast.customer, cast.staff, cast.auditor):
        with pytest.raises(ProofNotRevealed):
            proof_of(draw_id=one.pk, viewer=viewer)
    with pytest.raises(NotFound):
        proof_of(draw_id=one.pk, viewer=cast.other_customer)

    seeds.rotate(person_id=cast.customer.pk)

    for viewer in (cast.customer, cast.staff, cast.auditor):
        assert proof_of(draw_id=one.pk, viewer=viewer).draw == one
    for viewer in (cast.other_customer, cast.cashier, cast.owner):
        with pytest.raises(NotFound):
            proof_of(draw_id=one.pk, viewer=viewer)
    for viewer in (cast.customer, cast.staff):
        with pytest.raises(NotFound):
            proof_of(draw_id=None, viewer=viewer)


def test_the_database_keeps_one_of_each_and_their_times():
    person = make_person()
    active, following = seeds.pairs_of(person.pk)
    now = timezone.now()
    wrong: list[tuple[SeedPair, dict]] = [
        (following, {"state": "active", "activated_at": now, "client_seed": "x"}),
        (active, {"state": "next", "client_seed": "", "activated_at": None}),
        (active, {"revealed_at": now}),
        (active, {"state": "revealed"}),
        (active, {"client_seed": ""}),
        (active, {"client_seed_by": ""}),
        (active, {"client_seed_by": "nobody"}),
        (following, {"client_seed_by": "client"}),
        (active, {"state": "lost"}),
        (following, {"next_nonce": 1}),
        (following, {"server_seed_hash": active.server_seed_hash}),
    ]
    for pair, change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            SeedPair.objects.filter(pk=pair.pk).update(**change)


def test_draws_pity_counters_and_seeds_say_what_they_are():
    person = make_person(points=100)
    one = draw_once(person, make_wheel())
    assert str(one) == str(Draw.objects.get().pk)
    assert str(PityCounter.objects.get()) == f"{person.pk}/{one.wheel_id}: 1"
    assert str(one.seed_pair).startswith(one.seed_pair.server_seed_hash[:12])
