"""Small makers of what a test of the lottery needs, by the services wherever there are some."""

import hashlib
from contextlib import contextmanager
from decimal import Decimal

from django.db import connection

from accounts.models import PointsEntry, User
from catalog.models import Order, StockEntry
from catalog.tests.factories import make_person, make_product, numbers
from lottery import integrity
from lottery.decision import hash_seed
from lottery.models import (
    Draw,
    PityCounter,
    Prize,
    PrizeType,
    SeedPair,
    SeedState,
    Wheel,
    WheelVersion,
)
from lottery.services import publishing, seeds
from ops.models import IdempotencyRecord
from ops.services.encryption import encrypt

__all__ = ["make_person", "make_product", "make_wheel"]

THANKS = 315  # the angle of the fallback prize of `make_wheel`


def make_prize(*, wheel, angle, **fields):
    return Prize.objects.create(
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
            "name": f"Wheel {next(numbers)}",
            "cost_points": 100,
            "organiser": "老王",
            **fields,
        }
    )
    rest = Decimal(1)
    for angle in range(0, THANKS, 45):
        given = dict(prizes[angle // 45]) if angle // 45 < len(prizes) else {}
        given["probability"] = Decimal(given.get("probability", 0))
        rest -= given["probability"]
        make_prize(wheel=wheel, angle=angle, **given)
    wheel.fallback_prize = make_prize(wheel=wheel, angle=THANKS, name="Thanks", probability=rest)
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


def fix_seeds(person):
    """Give a person seeds that are the same in every run; what they draw is then known."""
    for pair in seeds.pairs_of(person.pk):
        server_seed = hashlib.sha256(pair.state.encode()).hexdigest()
        SeedPair.objects.filter(pk=pair.pk).update(
            server_seed_encrypted=encrypt(server_seed),
            server_seed_hash=hash_seed(server_seed),
            client_seed="fixed" if pair.state == SeedState.ACTIVE else "",
        )


def everything():
    """What a refused draw may not change."""
    return {
        "people": list(User.objects.order_by("pk").values_list("pk", "total_points")),
        "points": PointsEntry.objects.count(),
        "stock": StockEntry.objects.count(),
        "orders": Order.objects.count(),
        "draws": Draw.objects.count(),
        "nonces": list(
            SeedPair.objects.filter(state=SeedState.ACTIVE, next_nonce__gt=0)
            .order_by("pk")
            .values_list("person", "next_nonce")
        ),
        "pity": list(
            PityCounter.objects.filter(current__gt=0)
            .order_by("pk")
            .values_list("person", "wheel", "current")
        ),
        "given": list(Prize.objects.order_by("pk").values_list("pk", "given", "given_that_day")),
        "versions": WheelVersion.objects.count(),
        "answers": IdempotencyRecord.objects.count(),
    }


def findings():
    return [
        (finding.rule, finding.object_id)
        for check in (integrity.draws_recompute, integrity.prizes_are_counted)
        for finding in check()
    ]


@contextmanager
def without_triggers(model):
    """Alter an append-only table, as somebody with the password of the database might."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
            yield
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only")
            return
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table]
        )
        triggers = cursor.fetchall()
        for name, _sql in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        yield
        for _name, sql in triggers:
            cursor.execute(sql)
