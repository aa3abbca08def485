"""Whose sign-in an access token names: the look-up that comes before every request.

By hand, and of just the columns that every request needs: through the models it brought every
column of the person, and building the statement and the rows cost more than the database did.
"""

from django.db import connection

from accounts.models import DeviceSession, User
from ops.services import freshness

_FIND = """
    SELECT session.revoked_at IS NOT NULL, person.status, /* question */
    FROM accounts_devicesession session
    JOIN accounts_user person ON person.id = session.user_id
    WHERE session.id = %s AND session.user_id = %s
"""


def find(*, session_id: int, person_id: int) -> tuple[DeviceSession, bool] | None:
    """The session with its person, and whether it was revoked; None when there is none.

    Of both it brings ids and the person's status. Any other column is read when somebody asks for
    it, by a statement of its own: who needs several reads the person again. What is kept in memory
    is asked about by the way, whether it still holds.
    """
    asked = freshness.question()
    with connection.cursor() as cursor:
        statement = _FIND.replace("/* question */", asked.sql)
        cursor.execute(statement, [*asked.params, session_id, person_id])
        row = cursor.fetchone()
    if row is None:
        return None
    is_revoked, status, changes = row
    freshness.heard(asked, changes)
    session = DeviceSession.from_db(connection.alias, ["id", "user_id"], [session_id, person_id])
    session.user = User.from_db(connection.alias, ["id", "status"], [person_id, status])
    return session, bool(is_revoked)
