"""Whose sign-in an access token names: the look-up that comes before every request.

By hand, and of just the columns that every request needs: through the models it brought every
column of the person, and building the statement and the rows cost more than the database did.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from accounts.models import DeviceSession, User
from ops.services import freshness

_FIND = """
    SELECT session.revoked_at IS NOT NULL, session.takes_unnamed,
        session.last_activity_at <= %s, person.status, person.merged_accounts,
        person.merged_into_id IS NOT NULL, /* question */
    FROM accounts_devicesession session
    JOIN accounts_user person ON person.id = session.user_id
    WHERE session.id = %s AND session.user_id = %s
"""


# So long a device may be at work before its last activity moves: not every request writes.
ACTIVITY_MOVES_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Found:
    """A sign-in, with its person, and what decides whether its tokens are good."""

    session: DeviceSession
    is_revoked: bool
    takes_unnamed: bool
    is_long_since_active: bool
    is_merged: bool


def find(*, session_id: int, person_id: int) -> Found | None:
    """The session with its person, and what is needed to judge its token; None when there is none.

    Of both it brings ids, and of the person the status and how many accounts were merged into
    theirs. Any other column is read when somebody asks for
    it, by a statement of its own: who needs several reads the person again. What is kept in memory
    is asked about by the way, whether it still holds.
    """
    asked = freshness.question()
    long_since = connection.ops.adapt_datetimefield_value(timezone.now() - ACTIVITY_MOVES_AFTER)
    with connection.cursor() as cursor:
        statement = _FIND.replace("/* question */", asked.sql)
        cursor.execute(statement, [long_since, *asked.params, session_id, person_id])
        row = cursor.fetchone()
    if row is None:
        return None
    is_revoked, takes_unnamed, is_long_since_active, status, merged_accounts, is_merged, changes = (
        row
    )
    freshness.heard(asked, changes)
    session = DeviceSession.from_db(connection.alias, ["id", "user_id"], [session_id, person_id])
    session.user = User.from_db(
        connection.alias, ["id", "status", "merged_accounts"], [person_id, status, merged_accounts]
    )
    return Found(
        session,
        is_revoked=bool(is_revoked),
        takes_unnamed=bool(takes_unnamed),
        is_long_since_active=bool(is_long_since_active),
        is_merged=bool(is_merged),
    )


def note_activity(session_id: int) -> None:
    """Say that a device is at work, once in ten minutes, whoever else says it at that moment."""
    now = timezone.now()
    quiet = DeviceSession.objects.filter(
        pk=session_id, last_activity_at__lte=now - ACTIVITY_MOVES_AFTER
    )
    quiet.update(last_activity_at=now)
