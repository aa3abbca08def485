"""What people's sockets hear about their points and their sign-ins, after commit."""

from accounts.models import PointsEntry
from ops.realtime import push
from ops.realtime.push import Event

# Close codes of sockets: the token is not good, and who it is may not listen any more.
NOT_SIGNED_IN = 4401
CLOSED_TO_YOU = 4403


def points_event(entry: PointsEntry, *, is_replay: bool = False) -> Event:
    """The points_update of one ledger entry, for its owner alone."""
    return Event(
        type="points_update",
        owner_id=entry.user_id,
        version=entry.sequence,
        data={
            "user_id": entry.user_id,
            "total_points": entry.balance_after,
            "change_points": entry.points,
            "reason": entry.source,
            "points_version": entry.sequence,
            "timestamp": push.timestamp(entry.created_at),
        },
        is_replay=is_replay,
    )


def points_changed(entry: PointsEntry) -> None:
    """Tell the person's sockets once the entry is committed."""
    push.publish_on_commit(points_event(entry))


def session_revoked(session_id: int) -> None:
    """Close the sockets of one sign-in, on every process, once that is committed."""
    push.close_on_commit(session_id=session_id, code=CLOSED_TO_YOU)


def person_closed(person_id: int) -> None:
    """Close all sockets of a person, on every process, once that is committed."""
    push.close_on_commit(owner_id=person_id, code=CLOSED_TO_YOU)
