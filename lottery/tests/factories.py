"""Small makers of what a test of the lottery needs, by the services wherever there are some."""

import hashlib
from decimal import Decimal
from itertools import count

from lottery.decision import hash_seed
from lottery.models import Prize, PrizeType, SeedPair, SeedState, Wheel
from lottery.services import publishing, seeds
from lottery.services.draws import draw
from ops.services.encryption import encrypt

_numbers = count(1)

THANKS = 315  # the angle of the fallback prize of `make_wheel`


def make_prize(*, wheel, angle, **fields):
    prize = _prize(wheel=wheel, angle=angle, **fields)
    prize.save()
    return prize


def _prize(*, wheel, angle, **fields):
    """A prize that is not saved yet."""
    return Prize(
        **{
            "wheel": wheel,
            "name": f"Prize at {angle}",
            "type": PrizeType.EMPTY,
            "angle": angle,
            "color": "#c8261b",
            "probability": Decimal(0),
            **fields,
        }
    )


def make_draft(*prizes, **fields):
    """A wheel whose first sectors are as said; the last one, of nothing, takes what is left."""
    wheel = Wheel.objects.create(
        **{
            "name": f"Wheel {next(_numbers)}",
            "cost_points": 100,
            "organiser": "老王",
            **fields,
        }
    )
    rest, sectors = Decimal(1), []
    for angle in range(0, THANKS, 45):
        given = dict(prizes[angle // 45]) if angle // 45 < len(prizes) else {}
        given["probability"] = Decimal(given.get("probability", 0))
        rest -= given["probability"]
        sectors.append(_prize(wheel=wheel, angle=angle, **given))
    thanks = _prize(wheel=wheel, angle=THANKS, name="Thanks", probability=rest)
    Prize.objects.bulk_create([*sectors, thanks])
    wheel.fallback_prize = prize_at(wheel, THANKS)
    wheel.save()
    return wheel


def make_wheel(*prizes, **fields):
    """The same, published."""
    wheel = make_draft(*prizes, **fields)
    publishing.publish(wheel_id=wheel.pk)
    return wheel


def prize_at(wheel, angle):
    return Prize.objects.get(wheel=wheel, angle=angle)


def points_prize(value="50", **fields):
    return {"type": PrizeType.POINTS, "value": Decimal(value), **fields}


def goods_prize(product, **fields):
    return {"type": product.kind, "value": product.market_price, "product": product, **fields}


def draw_once(person, wheel):
    (one,) = draw(person_id=person.pk, wheel_id=wheel.pk, count=1).draws
    return one


def fix_seeds(person):
    """Give a person seeds that are the same in every run; what they draw is then known."""
    for pair in seeds.pairs_of(person.pk):
        server_seed = hashlib.sha256(pair.state.encode()).hexdigest()
        SeedPair.objects.filter(pk=pair.pk).update(
            server_seed_encrypted=encrypt(server_seed),
            server_seed_hash=hash_seed(server_seed),
            client_seed="fixed" if pair.state == SeedState.ACTIVE else "",
        )
