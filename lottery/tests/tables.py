"""What the tables hold, whether it is sound, and how to alter what nobody may alter."""

from contextlib import contextmanager

from django.db import connection

from accounts.models import PointsEntry, User
from catalog.models import Order, StockEntry
from lottery import integrity
from lottery.models import Draw, PityCounter, Prize, SeedPair, SeedState, WheelVersion
from ops.models import IdempotencyRecord


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
    """What check_integrity says of draws and prizes: rule and object, without the words."""
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
