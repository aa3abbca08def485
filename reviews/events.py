"""What a person's sockets hear about their receipts, after commit."""

from datetime import UTC, datetime, timedelta
from typing import cast

from django.utils import timezone

from accounts.models import User
from ops.realtime import push
from ops.realtime.push import Event
from reviews.models import ProcessRecord, Receipt

# A decision bears the moment at which it was made, and is seen once it is committed. It is written
# within the first of these, or not at all, and the connection's time-outs bound what is left then.
WRITTEN_WITHIN = timedelta(minutes=1)
COMMITTED_WITHIN = timedelta(minutes=5)
EARLIEST = datetime.min.replace(tzinfo=UTC)


def review_event(receipt: Receipt, *, owner_id: int, is_replay: bool = False) -> Event:
    """The review_result of a decided receipt, for its owner alone: whose the account is now."""
    return Event(
        type="review_result",
        owner_id=owner_id,
        data={
            "upload_id": receipt.pk,
            "status": receipt.status,
            "points_awarded": receipt.points_awarded,
            "reason": receipt.review_reason or None,
            "timestamp": push.timestamp(cast("datetime", receipt.reviewed_at)),
        },
        is_replay=is_replay,
    )


def reviewed_since(person_id: int, since: datetime) -> list[Event]:
    """The review_result events of a person since a time, oldest first, for a client that resumes.

    Also those from up to five minutes before: they may have been committed after it. The client
    knows by `upload_id` which it has heard of. One more than may be sent again: whoever missed more
    starts afresh.
    """
    # Many a client says "never" with the first moment there is; nothing can be before that.
    further_back = max(since, EARLIEST + COMMITTED_WITHIN) - COMMITTED_WITHIN
    accounts = User.objects.of_one_person(person_id).values("pk")
    missed = Receipt.objects.filter(person__in=accounts, reviewed_at__gt=further_back)
    return [
        review_event(one, owner_id=person_id, is_replay=True)
        for one in missed.order_by("reviewed_at")[: push.REPLAY_LIMIT + 1]
    ]


def receipt_reviewed(receipt: Receipt, *, owner_id: int) -> None:
    """Tell the owner's sockets once the decision is committed."""
    push.publish_on_commit(review_event(receipt, owner_id=owner_id))


def progress_changed(record: ProcessRecord) -> None:
    """Tell the person's sockets how far the process on their picture is, once that is committed."""
    receipt = record.receipt
    amount = receipt.recognized_amount
    push.publish_on_commit(
        Event(
            type="upload_progress",
            owner_id=receipt.person_id,
            data={
                "upload_id": receipt.pk,
                "task_id": record.pk,
                "status": record.status,
                "progress": record.progress,
                "recognized_amount": None if amount is None else f"{amount:.2f}",
                "timestamp": push.timestamp(timezone.now()),
            },
        )
    )
