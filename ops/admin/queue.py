import logging

from django.conf import settings
from django.contrib import admin
from django.db import DatabaseError
from django_tasks_db.models import DBTaskResult
from redis.exceptions import RedisError

from ops.services import queue

logger = logging.getLogger(__name__)

# The queue's own page is neither in the theme's style nor in Chinese, and is of one engine alone;
# what matters of a receipt's process is in its ProcessRecord.
admin.site.unregister(DBTaskResult)


def standing():
    """How the queue stands, for a page; `waiting` is None when the engine is away."""
    facts = {"engine": settings.TASK_ENGINE, "waiting": None, "failures": None}
    try:
        return facts | {"waiting": queue.waiting(), "failures": queue.failures()}
    except (DatabaseError, RedisError):
        logger.warning("How the queue stands could not be asked", exc_info=True)
        return facts
