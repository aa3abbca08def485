"""Sign-ins to the console, which Django keeps."""

from datetime import datetime

from django.contrib.sessions.models import Session

from ops.services.purge import purge

BATCH_SIZE = 1000  # expired sessions that one round of the job deletes


def forget_expired(*, now: datetime) -> int:
    """Delete expired console sessions, BATCH_SIZE at most; returns how many.

    What `manage.py clearsessions` does, which somebody would have to remember.
    """
    expired = Session.objects.filter(expire_date__lte=now)
    return purge(expired.order_by("expire_date"), batch_size=BATCH_SIZE)
