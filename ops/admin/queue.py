from django.conf import settings
from django.contrib import admin
from django_tasks_db.models import DBTaskResult

from ops.monitoring import kept_queue

# The queue's own page is neither in the theme's style nor in Chinese, and is of one engine alone;
# what matters of a receipt's process is in its ProcessRecord.
admin.site.unregister(DBTaskResult)


def standing():
    """How the queue stood when it was asked last, for a page; nobody is asked for it.

    `waiting` is None when the engine is away, and before this process asked it.
    """
    newest = kept_queue.newest()
    return {
        "engine": settings.TASK_ENGINE,
        "has_asked": kept_queue.has_asked(),
        "waiting": newest and newest.waiting,
        "failures": newest and newest.failures,
    }
