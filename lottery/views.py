from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from accounts.services.merged_accounts import account_ids
from lottery import serializers
from lottery.errors import (
    DailyLimitReached,
    NotEnoughPointsToDraw,
    ProofNotRevealed,
    WheelNotOpen,
)
from lottery.limits import MAX_COUNT
from lottery.models import Draw, WheelVersion
from lottery.services import draws, proofs, seeds, wheels
from ops.api.kept import OF_A_PAGE, Content, KeptView
from ops.api.pagination import page
from ops.api.schema import PAGE_PARAMETERS
from ops.api.views import AnswerOnceView, ApiView
from ops.errors import NotFound

DRAW_ID = OpenApiParameter("draw_id", UUID, OpenApiParameter.PATH)
ASKS_FOR_A_WHEEL = ("wheel_id",)


class ConfigView(KeptView):
    """A wheel as it is in force, and what it is for the person who asks."""

    refusals = (NotFound,)
    topic = "lottery"
    own_fields = ("current", "remaining_today", "fairness")

    @extend_schema(parameters=[serializers.WheelQuery], responses=serializers.ConfigOutput)
    def get(self, request):
        return self.answer(request, self._config, asks=ASKS_FOR_A_WHEEL)

    def own(self, person, about):
        version = about
        own = {"fairness": [_fairness(*seeds.pairs_of(person.pk))]}
        pity, used = draws.pity_and_used_today(person_id=person.pk, wheel_id=version.wheel_id)
        if version.pity_threshold is not None:
            own["current"] = [pity]
        if version.daily_limit is not None:
            # The limit may have been lowered today.
            own["remaining_today"] = [max(0, version.daily_limit - used)]
        return own

    def _config(self, request):
        version = wheels.version_in_force(**self.query(serializers.WheelQuery))
        config = {
            "wheel_id": version.wheel_id,
            "name": version.name,
            "version": version.number,
            "cost_points": version.cost_points,
            "max_count": MAX_COUNT,
            "prizes": version.sheet.prizes,
            "fallback_prize_id": version.fallback_prize_id,
            "pity": _pity(version, None),
            "daily_limit": version.daily_limit,
            "remaining_today": None,
            "fairness": None,
        }
        return Content(serializers.ConfigOutput(config).data, about=version)


class DrawView(AnswerOnceView):
    """Draw once or several times: all of it happens, or none."""

    shape = serializers.DrawInput
    answer = serializers.DrawnOutput
    refusals = (NotFound, WheelNotOpen, DailyLimitReached, NotEnoughPointsToDraw)

    def effect(self, request, body):
        drawn = draws.draw(person_id=request.user.pk, **body)
        serializers.bring_what_draws_show(drawn.draws)
        return {
            "draws": drawn.draws,
            "cost_points": drawn.cost_points,
            "total_points": drawn.total_points,
            "points_version": drawn.points_version,
            "remaining_today": drawn.remaining_today,
            "pity": _pity(drawn.version, drawn.pity_current),
        }


class RecordsView(ApiView):
    """The person's draws on a wheel, newest first."""

    refusals = (NotFound,)

    @extend_schema(
        parameters=[serializers.WheelQuery], responses=serializers.RecordOutput(many=True)
    )
    def get(self, request):
        current = wheels.version_in_force(**self.query(serializers.WheelQuery))
        mine = Draw.objects.filter(person__in=account_ids(request.user), wheel=current.wheel_id)
        rows, following = page(request, mine.values(*serializers.COLUMNS_OF_DRAWS))
        items = serializers.record_items(request, rows)
        return Response({"items": items, "next": following})


class SeedView(AnswerOnceView):
    """Reveal the seeds in use and go on with the next ones, and with a client seed of your own.

    Do this before the first draw, with a new random `client_seed`, and again with another one
    whenever the seeds are changed. `next_server_seed_hash` of the config commits the server to its
    next seed before it hears yours, so it cannot have chosen the two to suit each other. As long as
    `client_seed_by` is `server`, it could: the proofs then show consistency, not fairness.
    """

    may_demand_key = False  # it spends nothing
    shape = serializers.SeedInput
    answer = serializers.RotationOutput

    def effect(self, request, body):
        rotation = seeds.rotate(person_id=request.user.pk, **body)
        return {
            "revealed": {
                "server_seed": rotation.server_seed,
                "server_seed_hash": rotation.revealed.server_seed_hash,
                "client_seed": rotation.revealed.client_seed,
                "client_seed_by": rotation.revealed.client_seed_by,
                "nonces": rotation.revealed.next_nonce,
            },
            "next": _fairness(rotation.active, rotation.next),
        }


class ProofView(ApiView):
    """All that decides a draw again, once its seed was revealed: for its owner and for staff."""

    refusals = (NotFound, ProofNotRevealed)

    @extend_schema(parameters=[DRAW_ID], responses=serializers.ProofOutput)
    def get(self, request, draw_id):
        proof = proofs.proof_of(draw_id=_path_uuid(draw_id), viewer=request.user)
        return Response(serializers.ProofOutput(proof).data)


class RulesView(KeptView):
    """The odds sheets of a wheel: the one in force first, then the earlier ones."""

    refusals = (NotFound,)
    topic = "lottery"

    @extend_schema(
        parameters=[serializers.WheelQuery, *PAGE_PARAMETERS], responses=serializers.OddsSheetPage
    )
    def get(self, request):
        return self.answer(request, self._sheets, asks=(*ASKS_FOR_A_WHEEL, *OF_A_PAGE))

    def _sheets(self, request):
        current = wheels.version_in_force(**self.query(serializers.WheelQuery))
        published = WheelVersion.objects.with_ends().filter(wheel=current.wheel_id)
        rows, following = page(request, published, ordering=["-number"])
        sheets = {
            "wheel_id": current.wheel_id,
            "name": current.name,
            "client_seed_by": serializers.what_follows_from_the_maker(),
            "items": rows,
            "next": following,
        }
        return Content(serializers.OddsSheetPage(sheets).data)


def _pity(version, current):
    if version.pity_threshold is None:
        return None
    return {"threshold": version.pity_threshold, "current": current}


def _fairness(active, following):
    return {
        "server_seed_hash": active.server_seed_hash,
        "client_seed": active.client_seed,
        "client_seed_by": active.client_seed_by,
        "nonce": active.next_nonce,
        "next_server_seed_hash": following.server_seed_hash,
    }


def _path_uuid(text):
    """Read a draw's id out of a path; None when it cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        return None
