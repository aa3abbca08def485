"""What the tables hold, whether it is sound, and how to alter what nobody may alter."""

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
