"""What somebody with the password of the database may do to draws and to what they rest on."""

import random
from uuid import uuid4

from django.db import connection

from catalog.tests.factories import make_prize_order
from lottery.models import Draw, PityCounter, SeedPair, SeedState, WheelVersion
from ops.services.encryption import encrypt
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


class Forger:
    """Forges at random, one thing after the other, and the same for the same seed."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.done = []
        self.kinds = [
            self._column,
            self._stock_out,
            self._owner,
            self._version,
            self._order,
            self._delete,
            self._exchange_places,
            self._pair,
            self._server_seed,
            self._counter,
            self._sheet,
        ]

    def forge(self):
        """Change one thing; the draw, pair, counter or version is chosen at random."""
        kind = self.chance.choice(self.kinds)
        self.done.append(kind.__name__)
        kind()

    def _any(self, model, **wanted):
        return self.chance.choice(list(model.objects.filter(**wanted).order_by("pk")))

    def _draw(self, **wanted):
        # What it says of stock may be past reading by now.
        draws = Draw.objects.filter(**wanted).defer("stock_out")
        return self.chance.choice(list(draws.order_by("pk")))

    def _column(self):
        draw = self._draw()
        ids = [prize.prize_id for prize in draw.version.sheet.prizes]
        name, values = self.chance.choice(
            [
                ("nonce", [draw.nonce + 100, *EXTREMES["nonce"]]),
                ("ticket", [0, 9999, (draw.ticket + 1) % 10_000]),
                ("landed_prize_id", [*ids, *EXTREMES["landed_prize_id"]]),
                ("prize_id", [*ids, *EXTREMES["prize_id"]]),
                ("is_pity", [not draw.is_pity]),
                ("pity_before", [0, draw.pity_before + 1, *EXTREMES["pity_before"]]),
                ("near_miss", [not draw.near_miss]),
                ("cost_points", [0, *EXTREMES["cost_points"]]),
                ("value_given", [0, draw.value_given + 1]),
            ]
        )
        forge_draw(draw, **{name: self.chance.choice(values)})

    def _stock_out(self):
        draw = self._draw()
        ids = [prize.prize_id for prize in draw.version.sheet.prizes]
        sensible = ["[]", *(f"[{pk}]" for pk in ids), f"[{ids[0]}.0]", str(ids[1::-1])]
        text = self.chance.choice([*sensible, *NO_STOCK_OUT])
        write_json(Draw, "stock_out", text, pk=draw.pk)

    def _owner(self):
        name = self.chance.choice(("person_id", "wheel_id"))
        forge_draw(self._draw(), **{name: getattr(self._draw(), name)})

    def _version(self):
        forge_draw(self._draw(), version=self._any(WheelVersion))

    def _order(self):
        draw = self._draw()
        order = None
        if draw.order_id is None:
            order = make_prize_order(person=self._draw().person, draw_id=str(draw.pk))
        forge_draw(draw, order=order)

    def _delete(self):
        with without_triggers(Draw):
            Draw.objects.filter(pk=self._draw().pk).delete()

    def _exchange_places(self):
        """Two draws of one pair tell each other's story."""
        one = self._draw()
        other = self._draw(seed_pair=one.seed_pair_id)
        free = 10_000 + self.chance.randrange(10_000)
        for draw, nonce in ((one, free), (other, one.nonce), (one, other.nonce)):
            forge_draw(draw, nonce=nonce)

    def _pair(self):
        pair = self._any(SeedPair, next_nonce__gt=0)
        name, values = self.chance.choice(
            [
                ("next_nonce", [0, pair.next_nonce + 1, 2**31 - 1]),
                ("client_seed", ["another"]),
                ("server_seed_hash", [uuid4().hex * 2]),
                ("person_id", [self._draw().person_id]),
            ]
        )
        pairs = SeedPair.objects.filter(pk=pair.pk)
        if name == "person_id":  # who has one pair in use at a time
            pairs = pairs.filter(state=SeedState.REVEALED)
        pairs.update(**{name: self.chance.choice(values)})

    def _server_seed(self):
        pair = self._any(SeedPair, next_nonce__gt=0)
        text = self.chance.choice(("broken", *map(encrypt, (*NO_SEEDS, "ab" * 32))))
        SeedPair.objects.filter(pk=pair.pk).update(server_seed_encrypted=text)

    def _counter(self):
        counters = PityCounter.objects.filter(pk=self._any(PityCounter).pk)
        if self.chance.random() < 0.3:
            counters.delete()
        else:
            counters.update(current=self.chance.choice((0, 5, 2**31 - 1)))

    def _sheet(self):
        version = self._any(WheelVersion)
        first, second, *others = version.prizes
        moved = first["weight"] // 2
        first["weight"] -= moved
        second["weight"] += moved
        changes = [
            ("cost_points", 1),
            ("pity_threshold", self.chance.choice((None, 1, 3))),
            ("fallback_prize_id", second["prize_id"]),
            ("prizes", [first, second, *others]),
            ("prizes", [{**first, "is_pity_prize": True}, second, *others]),
            ("prizes", [{**first, "quantity": None}, {**second, "product_id": None}, *others]),
        ]
        name, value = self.chance.choice(changes)
        forge_version(version, **{name: value})
