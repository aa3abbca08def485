"""What somebody with the password of the database may do to draws and to what they rest on."""

from django.db import connection

from lottery.models import Draw, WheelVersion
from tests.ledgers import without_triggers

# JSON of every shape that is not a list of ids; the last one Python refuses to read at all.
NO_LISTS = ("null", "true", "7", '"text"', "{}", "1e5000")
NO_STOCK_OUT = (*NO_LISTS, "[true]", '["1"]', "[null]", "[[1]]", "[1e5000]", "[0, 0]", "[0.5]")
NO_PRIZES = (*NO_LISTS, "[]", "[1]", "[[]]", "[{}]", '[{"value": "1"}]', "[null]")
NO_INTEGERS: tuple[object, ...] = (None, True, 0.5, -1, 2**63, "1", [], {})
# By field of a published prize: what it cannot be.
NO_FIELDS = {
    "prize_id": NO_INTEGERS,
    "angle": NO_INTEGERS,
    "weight": NO_INTEGERS,
    "is_activity": (None, 1, "yes", []),
    "is_pity_prize": (None, 0, "no", {}),
    "name": (None, 5, []),
    "type": (None, "gold", [], {}),
    "value": (None, "NaN", "sNaN", "Infinity", "1E+400000", "1E-400000", "0.001", "much", [], {}),
    "color": (None, 5),
    "product_id": (True, -1, 2**63, "1", []),
    "quantity": (True, -1, 2**63, "1", []),
    "daily_cap": (True, 0.5, 2**70, "1", {}),
    "no such field": (1,),
}
# What a pair's seed may decrypt to, being something else that was encrypted with the same key.
NO_SEEDS = ("", "no hex", "abc", "ü", "ab" * 100)
# By column: whole numbers at the ends of what it holds.
EXTREMES = {
    "nonce": (2**31 - 1,),
    "landed_prize_id": (-(2**63), 2**63 - 1),
    "prize_id": (-(2**63), 2**63 - 1),
    "pity_before": (2**31 - 1,),
    "cost_points": (2**31 - 1,),
}


def write_json(model, column, text, *, pk):
    """Put any JSON into a column, also what Python could not write."""
    with without_triggers(model) as cursor:
        table, key = model._meta.db_table, model._meta.pk
        value = key.get_db_prep_value(pk, connection)
        sql = f"UPDATE {table} SET {column} = %s WHERE id = %s"  # noqa: S608
        cursor.execute(sql, [text, value])


def forge_draw(draw, **changes):
    with without_triggers(Draw):
        Draw.objects.filter(pk=draw.pk).update(**changes)


def forge_version(version, **changes):
    with without_triggers(WheelVersion):
        WheelVersion.objects.filter(pk=version.pk).update(**changes)
