"""Answers of draws and exchanges, and what sockets hear of them, as clients read them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from bench.peer.entries import ORDER_LIFETIME, Entry, local
from bench.peer.wheels import Outcome, Sheet


def picture(sha256: str | None, base: str) -> str | None:
    """The public address of a picture, by what it holds."""
    return sha256 and f"{base}/files/{sha256}"


def order_answer(
    order: dict[str, Any], *, moment: datetime, image: str | None = None
) -> dict[str, Any]:
    """A new order; `order` as `catalog_order` keeps it."""
    return {
        "exchange_id": order["id"],
        "exchange_code": order["exchange_code"],
        "product": {
            "commodity_id": order["product_id"],
            "name": order["product_name"],
            "kind": order["kind"],
            "image": image,
            "exchange_points": order["unit_points"],
        },
        "quantity": order["quantity"],
        "total_points": order["total_points"],
        "status": "pending",
        "source": order["source"],
        "delivered": None,
        "expires_at": local(moment + ORDER_LIFETIME),
        "redeemed_at": None,
        "created_at": local(moment),
    }


def draw_answer(
    *,
    draw_id: UUID,
    sheet: Sheet,
    outcome: Outcome,
    nonce: int,
    ticket: int,
    order: dict[str, Any] | None,
    entry: Entry,
    used_today: int | None,
) -> dict[str, Any]:
    """The answer to one draw; `entry` is the newest of the person's after it."""
    left = None if sheet.daily_limit is None else sheet.daily_limit - (used_today or 0) - 1
    pity = {"threshold": sheet.threshold, "current": outcome.pity_after}
    return {
        "draws": [
            {
                "draw_id": str(draw_id),
                "wheel_id": sheet.wheel_id,
                "prize": outcome.given.shown,
                "angle": outcome.given.angle,
                "is_pity": outcome.is_pity,
                "near_miss": outcome.near_miss,
                "order": order,
                "nonce": nonce,
                "ticket": ticket,
            }
        ],
        "cost_points": sheet.cost,
        "total_points": entry.balance,
        "points_version": entry.sequence,
        "remaining_today": left,
        "pity": None if sheet.threshold is None else pity,
    }


def points_update(person_id: int, entry: Entry, *, moment: datetime) -> dict[str, Any]:
    return {
        "type": "points_update",
        "data": {
            "user_id": person_id,
            "total_points": entry.balance,
            "change_points": entry.points,
            "reason": entry.source,
            "points_version": entry.sequence,
            "timestamp": local(moment),
        },
    }


def stock_update(
    *, product_id: int, name: str, stock: int, version: int, operation: str, moment: datetime
) -> dict[str, Any]:
    return {
        "type": "stock_update",
        "data": {
            "product_id": product_id,
            "stock": stock,
            "product_name": name,
            "operation": operation,
            "stock_version": version,
            "timestamp": local(moment),
        },
    }
