"""The decision by itself, against numbers worked out by hand and by other means."""

import hashlib
from decimal import Decimal

import pytest

from lottery import decision
from lottery.decision import decide, draw_ticket, first_tickets, hash_seed, walk
from lottery.odds import ANGLES, OddsSheet, PublishedPrize

SEED = "00" * 31 + "01"
# Recomputed with `openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
KNOWN = [5824, 3863, 8906, 6238, 6131]


def prizes(*weights, pity=(), activity=()):
    return tuple(
        PublishedPrize(
            prize_id=number,
            angle=angle,
            weight=weight,
            is_pity_prize=number in pity,
            is_activity=number in activity,
            name=f"Prize {number}",
            type="empty",
            value=Decimal(0),
            color="#c8261b",
        )
        for number, (angle, weight) in enumerate(zip(ANGLES, weights, strict=True), start=1)
    )


def sheet(wheel, *, fallback=8, threshold=None):
    return OddsSheet(prizes=wheel, fallback_prize_id=fallback, pity_threshold=threshold)


# Weights 1000, 2000, 500, 500, 3000, 0, 1000, 2000: the running weights are
# 1000, 3000, 3500, 4000, 7000, 7000, 8000, 10000.
WHEEL = prizes(1000, 2000, 500, 500, 3000, 0, 1000, 2000, pity={3, 4})


def decide_on(ticket, *, wheel=WHEEL, gone=(), threshold=None, pity_before=0, fallback=8):
    return decide(
        sheet(wheel, fallback=fallback, threshold=threshold),
        ticket=ticket,
        pity_before=pity_before,
        is_gone=lambda prize: prize.prize_id in gone,
    )


def outcome(decided):
    return decided.given.prize_id, decided.is_pity, decided.stock_out


# --- Ticket -----------------------------------------------------------------------------------
def test_the_hash_is_of_the_bytes_and_not_of_their_hex():
    assert hash_seed(SEED) == hashlib.sha256(b"\x00" * 31 + b"\x01").hexdigest()
    assert hash_seed(SEED) == "ec4916dd28fc4c10d78e287ca5d9cc51ee1ae73cbfde08c6b37324cbfaac8bc5"


@pytest.mark.parametrize(
    ("client_seed", "nonce"), [("abc", 0), ("abc", 1), ("运气", 7), (" a:b ", 123456)]
)
def test_the_ticket_is_hmac_by_its_definition(client_seed, nonce):
    """RFC 2104 written out: H(key ^ opad, H(key ^ ipad, message)), the key filled to 64 bytes."""
    key = bytes.fromhex(SEED).ljust(64, b"\x00")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    inner.update(f"{client_seed}:{nonce}".encode())
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner.digest())

    by_hand = int(outer.hexdigest()[:16], 16) * 10000 // 2**64

    assert draw_ticket(server_seed=SEED, client_seed=client_seed, nonce=nonce) == by_hand


@pytest.mark.parametrize("server_seed", [SEED, "ab" * 100])
def test_the_first_tickets_are_those_that_draws_got(server_seed):
    seeds = {"server_seed": server_seed, "client_seed": "种子"}
    assert first_tickets(**seeds, count=12) == [draw_ticket(**seeds, nonce=n) for n in range(12)]
    assert first_tickets(**seeds, count=0) == []


def test_known_tickets_stay_as_they_were():
    """Kept from the first day: proofs of old draws have to recompute for ever."""
    tickets = [draw_ticket(server_seed=SEED, client_seed="abc", nonce=nonce) for nonce in range(5)]
    assert tickets == KNOWN


def test_tickets_are_even():
    """10,000 tickets in ten classes: chi-square with 9 degrees of freedom, far from its 99.9 %."""
    counts = [0] * 10
    for nonce in range(10_000):
        counts[draw_ticket(server_seed=SEED, client_seed="even", nonce=nonce) // 1000] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 27.9


# --- Walk -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("position", "prize_id"),
    [
        (0, 1),
        (999, 1),
        (1000, 2),
        (2999, 2),
        (3000, 3),
        (3499, 3),
        (3500, 4),
        (3999, 4),
        (4000, 5),
        (6999, 5),
        (7000, 7),  # the sixth has no weight
        (7999, 7),
        (8000, 8),
        (9999, 8),
    ],
)
def test_the_walk_ends_at_the_first_whose_running_weight_exceeds_the_ticket(position, prize_id):
    assert walk(WHEEL, position).prize_id == prize_id
    assert walk(reversed(WHEEL), position).prize_id == prize_id  # by angle, however they come


# --- Fallback ---------------------------------------------------------------------------------
def test_a_prize_that_is_there_is_given():
    assert outcome(decide_on(1000)) == (2, False, [])


def test_the_fallback_is_given_for_what_is_gone():
    decided = decide_on(1000, gone={2, 3})
    assert outcome(decided) == (8, False, [2])
    assert decided.landed.prize_id == 2


# --- Pity -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("threshold", "pity_before", "is_pity"),
    [(None, 1000, False), (5, 3, False), (5, 4, True), (5, 9, True), (1, 0, True)],
)
def test_pity_is_due_when_threshold_less_one_went_without(threshold, pity_before, is_pity):
    assert decide_on(0, threshold=threshold, pity_before=pity_before).is_pity is is_pity


@pytest.mark.parametrize(
    ("ticket", "prize_id"),
    # 500 each: position = ticket × 1000 // 10000
    [(0, 3), (4999, 3), (5000, 4), (9999, 4)],
)
def test_a_pity_draw_walks_the_pity_prizes_alone(ticket, prize_id):
    decided = decide_on(ticket, threshold=5, pity_before=4)
    assert outcome(decided) == (prize_id, True, [])
    assert decided.landed == walk(WHEEL, ticket)


def test_pity_prizes_that_are_gone_are_left_out_and_named():
    assert outcome(decide_on(0, threshold=5, pity_before=4, gone={3})) == (4, True, [3])
    # The ticket's own prize does not matter in a pity draw.
    assert outcome(decide_on(0, threshold=5, pity_before=4, gone={1})) == (3, True, [])


def test_the_counter_returns_to_zero_exactly_when_a_pity_prize_is_given():
    assert decision.pity_after(given=WHEEL[2], pity_before=7) == 0
    assert decision.pity_after(given=WHEEL[0], pity_before=7) == 8
    lucky = decide_on(3000, threshold=5, pity_before=0)
    assert (lucky.is_pity, decision.pity_after(given=lucky.given, pity_before=0)) == (False, 0)
    missed = decide_on(3000, threshold=5, pity_before=0, gone={3})
    assert decision.pity_after(given=missed.given, pity_before=0) == 1


# --- Near miss --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "is_near"),
    [(1, False), (2, True), (3, False), (4, False), (7, False), (8, True)],
)
def test_near_miss_is_beside_an_activity_prize_around_the_wheel(given, is_near):
    wheel = prizes(*[1250] * 8, activity={1})
    assert decision.is_near_miss(sheet(wheel), given=wheel[given - 1]) is is_near


def test_a_prize_of_the_campaign_itself_is_no_near_miss():
    wheel = prizes(*[1250] * 8, activity={1, 2})
    assert decision.is_near_miss(sheet(wheel), given=wheel[0]) is False
