from functools import lru_cache

from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.models import Order
from catalog.outputs import COLUMNS_OF_ORDERS, OrderOutput, bring_what_is_shown, order_items
from lottery.errors import InvalidCount
from lottery.limits import MAX_COUNT
from lottery.models import PrizeType, SeedMaker, WheelVersion
from ops.api.fields import IdentifierField, IdentifierTextField, TextField, WholeNumberField
from ops.api.rows import Writer
from ops.identifiers import read_identifier


class WheelQuery(serializers.Serializer):
    wheel_id = IdentifierTextField(
        required=False,
        default=None,
        allow_blank=True,  # refused below: it is no whole number either
        trim_whitespace=False,
        help_text="The id of a wheel. Left out: the default wheel.",
    )

    def validate_wheel_id(self, text):
        if text is not None and not (text.isascii() and text.isdigit()):
            raise serializers.ValidationError(_("The id of a wheel is a whole number."))
        return text

    def validate(self, query):
        # None is no wheel's id: the default wheel is asked for by itself.
        text = query["wheel_id"]
        return {"wheel_id": text and read_identifier(text), "default_wheel": text is None}


class DrawInput(serializers.Serializer):
    refusals = {"count": InvalidCount}

    wheel_id = IdentifierField()
    count = WholeNumberField(min_value=1, max_value=MAX_COUNT, default=1)

    def validate(self, body):
        # As a WheelQuery reads: None is no wheel's id, and the default one is asked for by itself.
        return {**body, "default_wheel": self.initial_data.get("wheel_id") is None}


class SeedInput(serializers.Serializer):
    client_seed = TextField(
        required=False,
        min_length=1,
        max_length=64,
        help_text="Send your own: random, a new one with every change of seeds, and remember it to "
        "compare it with the proofs. It is taken as it is, as UTF-8, neither trimmed nor "
        "normalised; characters are Unicode code points. Left out: the client seed in use is kept. "
        "A seed that is kept or sent again was known to the server when it made its next one; a "
        "seed that the server once made for you stays the server's when you send it back.",
    )


class ClientSeedField(serializers.CharField):
    def __init__(self, **kwargs):
        super().__init__(
            help_text="Should be your own, by POST /api/lottery/seed before the first draw; until "
            "then it is one that the server made.",
            **kwargs,
        )


class ClientSeedByField(serializers.ChoiceField):
    """Who made a client seed, and what follows from it."""

    def __init__(self, **kwargs):
        super().__init__(
            choices=SeedMaker.choices,
            help_text="`client`: you sent it after the server had committed to its own seed; the "
            "proof shows fairness to you, who know what you sent. `server`: the server made both "
            "seeds and could have chosen; the proof shows consistency alone. Send your own client "
            "seed by POST /api/lottery/seed.",
            **kwargs,
        )


class MakersOutput(serializers.Serializer):
    """What a proof shows, for each maker of the client seed; for people, in their language."""

    client = serializers.CharField()
    server = serializers.CharField()


def what_follows_from_the_maker():
    """What a proof shows, in the language of the request, for each maker of a client seed."""
    return {
        SeedMaker.CLIENT.value: _(
            "You sent the client seed after the server had committed to its own by a hash, so it "
            "could not choose the two to suit each other: the proof shows fairness. Send a new one "
            "with every change of seeds; one that was in use before was known to the server when "
            "it made its next seed."
        ),
        SeedMaker.SERVER.value: _(
            "The server made both seeds. The proof shows that the draw follows from them "
            "(consistency), not that the server did not choose them (fairness). Send your own "
            "client seed before you draw."
        ),
    }


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{64}$"})
class HexField(serializers.CharField):
    """32 bytes: a server seed, or its SHA-256."""


class ProbabilityField(serializers.DecimalField):
    """A string with four decimals."""

    def __init__(self, **kwargs):
        super().__init__(max_digits=5, decimal_places=4, **kwargs)


class MoneyField(serializers.DecimalField):
    """A string with two decimals."""

    def __init__(self, **kwargs):
        super().__init__(max_digits=9, decimal_places=2, **kwargs)


class PrizeOutput(serializers.Serializer):
    """A prize of a published wheel."""

    prize_id = serializers.IntegerField()
    prize_name = serializers.CharField(source="name")
    prize_type = serializers.ChoiceField(choices=PrizeType.choices, source="type")
    prize_value = MoneyField(source="value", help_text="Points for a prize of points, else CNY.")
    angle = serializers.IntegerField(min_value=0, max_value=315, help_text="Degrees: 0, 45, … 315.")
    color = serializers.CharField(help_text="#RRGGBB")
    probability = ProbabilityField()
    is_activity = serializers.BooleanField()
    is_pity_prize = serializers.BooleanField()
    special_effect = serializers.CharField()


@lru_cache(maxsize=1024)
def shown_prize(prize):
    """A published prize as clients read it: the same for ever, so it is written once."""
    return PrizeOutput(prize).data


class SheetPrizeOutput(PrizeOutput):
    """A prize as the odds sheet and the proof name it."""

    weight = serializers.IntegerField(help_text="Probability × 10000.")
    quantity = serializers.IntegerField(
        allow_null=True, help_text="How often it is given in all; null: not limited by a number."
    )
    daily_cap = serializers.IntegerField(allow_null=True)


class PityOutput(serializers.Serializer):
    threshold = serializers.IntegerField()
    current = serializers.IntegerField(
        allow_null=True, help_text="Draws without a pity prize so far; null for strangers."
    )


class NextSeedsOutput(serializers.Serializer):
    server_seed_hash = HexField()
    client_seed = ClientSeedField()
    client_seed_by = ClientSeedByField()
    nonce = serializers.IntegerField(help_text="The next to be used.")
    next_server_seed_hash = HexField(
        help_text="Of the server seed that your next client seed meets."
    )


class ConfigOutput(serializers.Serializer):
    wheel_id = serializers.IntegerField()
    name = serializers.CharField()
    version = serializers.IntegerField()
    cost_points = serializers.IntegerField(help_text="Of one draw.")
    max_count = serializers.IntegerField()
    prizes = PrizeOutput(many=True)
    fallback_prize_id = serializers.IntegerField()
    pity = PityOutput(allow_null=True)
    daily_limit = serializers.IntegerField(allow_null=True)
    remaining_today = serializers.IntegerField(
        allow_null=True, help_text="Null without a limit and for strangers."
    )
    fairness = NextSeedsOutput(allow_null=True, help_text="Null for strangers.")


class DrawOutput(serializers.Serializer):
    """One draw."""

    draw_id = serializers.UUIDField(source="pk")
    wheel_id = serializers.IntegerField()
    prize = serializers.SerializerMethodField()
    angle = serializers.SerializerMethodField()
    is_pity = serializers.BooleanField()
    near_miss = serializers.BooleanField()
    order = OrderOutput(allow_null=True)
    nonce = serializers.IntegerField()
    ticket = serializers.IntegerField()

    @extend_schema_field(PrizeOutput)
    def get_prize(self, draw):
        return shown_prize(self._prize(draw))

    def get_angle(self, draw) -> int:
        """Where the wheel has to stop."""
        return self._prize(draw).angle

    def _prize(self, draw):
        return draw.version.sheet.prize(draw.prize_id)


def bring_what_draws_show(draws):
    """Bring along what a `DrawOutput` shows besides the draw, in a query each for all of them.

    Versions are prefetched, not joined: many draws are of few versions.
    """
    prefetch_related_objects(draws, "version", "order")
    bring_what_is_shown([draw.order for draw in draws if draw.order])


class RecordOutput(DrawOutput):
    """A draw of the past."""

    created_at = serializers.DateTimeField()


COLUMNS_OF_DRAWS = (
    "id",
    "wheel_id",
    "version_id",
    "prize_id",
    "is_pity",
    "near_miss",
    "order_id",
    "nonce",
    "ticket",
    "created_at",
)


def record_items(request, rows):
    """Draws as `RecordOutput` shows them, from their columns.

    Many draws are of few versions, and few have an order: both are read by themselves.
    """
    write = Writer(request)
    versions = WheelVersion.objects.in_bulk({row["version_id"] for row in rows})
    orders = _order_items_by_id(request, [row["order_id"] for row in rows if row["order_id"]])
    prizes = [versions[row["version_id"]].sheet.prize(row["prize_id"]) for row in rows]
    return [
        {
            "draw_id": str(row["id"]),
            "wheel_id": row["wheel_id"],
            "prize": shown_prize(prize),
            "angle": prize.angle,
            "is_pity": row["is_pity"],
            "near_miss": row["near_miss"],
            "order": row["order_id"] and orders[row["order_id"]],
            "nonce": row["nonce"],
            "ticket": row["ticket"],
            "created_at": write.moment(row["created_at"]),
        }
        for row, prize in zip(rows, prizes, strict=True)
    ]


def _order_items_by_id(request, order_ids):
    orders = Order.objects.filter(pk__in=order_ids).values(*COLUMNS_OF_ORDERS)
    return {item["exchange_id"]: item for item in order_items(request, orders)}


class DrawnOutput(serializers.Serializer):
    draws = DrawOutput(many=True)
    cost_points = serializers.IntegerField(help_text="Of all these draws together.")
    total_points = serializers.IntegerField(help_text="After all of them.")
    points_version = serializers.IntegerField()
    remaining_today = serializers.IntegerField(allow_null=True)
    pity = PityOutput(allow_null=True)


class RevealedSeedsOutput(serializers.Serializer):
    server_seed = HexField()
    server_seed_hash = HexField()
    client_seed = ClientSeedField()
    client_seed_by = ClientSeedByField()
    nonces = serializers.IntegerField(help_text="How many were used: 0 to one less than this.")


class RotationOutput(serializers.Serializer):
    revealed = RevealedSeedsOutput()
    next = NextSeedsOutput()


class ProofOutput(serializers.Serializer):
    """A proof, from `lottery.services.proofs.Proof`. docs/verify_draw.py recomputes it."""

    draw_id = serializers.UUIDField(source="draw.pk")
    wheel_id = serializers.IntegerField(source="draw.wheel_id")
    version = serializers.IntegerField(source="draw.version.number")
    server_seed = HexField()
    server_seed_hash = HexField(source="draw.seed_pair.server_seed_hash")
    client_seed = ClientSeedField(source="draw.seed_pair.client_seed")
    client_seed_by = ClientSeedByField(source="draw.seed_pair.client_seed_by")
    nonce = serializers.IntegerField(source="draw.nonce")
    ticket = serializers.IntegerField(source="draw.ticket")
    prizes = SheetPrizeOutput(
        many=True, source="draw.version.sheet.prizes", help_text="As they stood."
    )
    threshold = serializers.IntegerField(source="draw.version.pity_threshold", allow_null=True)
    pity_before = serializers.IntegerField(source="draw.pity_before")
    is_pity = serializers.BooleanField(source="draw.is_pity")
    fallback_prize_id = serializers.IntegerField(source="draw.version.fallback_prize_id")
    stock_out = serializers.ListField(
        child=serializers.IntegerField(), source="draw.stock_out", help_text="Prize ids."
    )
    outcome = serializers.IntegerField(source="draw.prize_id", help_text="The prize given.")


class PityRuleOutput(serializers.Serializer):
    threshold = serializers.IntegerField(
        help_text="At the latest this draw in a row gives one of these prizes."
    )
    prizes = serializers.ListField(child=serializers.IntegerField(), help_text="Prize ids.")


class OddsSheetOutput(serializers.Serializer):
    """A published version."""

    version = serializers.IntegerField(source="number")
    to = serializers.DateTimeField(source="ends_at", allow_null=True, help_text="Null: in force.")
    name = serializers.CharField()
    organiser = serializers.CharField()
    cost_points = serializers.IntegerField()
    daily_limit = serializers.IntegerField(allow_null=True)
    prizes = serializers.SerializerMethodField()
    fallback_prize_id = serializers.IntegerField()
    pity = serializers.SerializerMethodField()

    def get_fields(self):
        # `from` is a word of the language, so the class cannot name it.
        return {"from": serializers.DateTimeField(source="published_at"), **super().get_fields()}

    @extend_schema_field(SheetPrizeOutput(many=True))
    def get_prizes(self, version):
        return SheetPrizeOutput(version.sheet.prizes, many=True).data

    @extend_schema_field(PityRuleOutput(allow_null=True))
    def get_pity(self, version):
        if version.pity_threshold is None:
            return None
        prizes = version.sheet.pity_prizes()
        rule = {
            "threshold": version.pity_threshold,
            "prizes": [prize.prize_id for prize in prizes],
        }
        return PityRuleOutput(rule).data


class OddsSheetPage(serializers.Serializer):
    """The sheet in force first, then the earlier ones."""

    wheel_id = serializers.IntegerField()
    name = serializers.CharField()
    client_seed_by = MakersOutput()
    items = OddsSheetOutput(many=True)
    next = serializers.CharField(allow_null=True)
