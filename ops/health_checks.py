"""Is what every app needs there: database, cache, channel layer, schema, storage, disk, worker."""

import shutil

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from ops.life_signs import Part
from ops.services import health, processes, storage_probe


def register() -> None:
    """Register the health and readiness checks of the platform itself."""
    health.checks.register("database", database_answers)
    health.checks.register("cache", cache_keeps)
    health.checks.register("channel_layer", channel_layer_carries)
    health.readiness_checks.register("migrations", migrations_applied)
    health.operation_checks.register("storage", storage_probe.check)
    health.operation_checks.register("disk", disk_has_room)
    health.operation_checks.register("worker", worker_lives)
    health.operation_checks.register("scheduler", scheduler_lives)


def database_answers() -> None:
    """Raise unless the database answers a query."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def cache_keeps() -> None:
    """Raise unless the cache gives back what it was given."""
    cache.set("health", "here", timeout=10)
    if cache.get("health") != "here":
        raise RuntimeError("the cache forgot what it was given")


def channel_layer_carries() -> None:
    """Raise unless a message can be handed to the channel layer."""
    layer = get_channel_layer()
    async_to_sync(layer.group_send)("health", {"type": "health"})


def migrations_applied() -> None:
    """Raise when the schema is behind the code."""
    try:
        executor = MigrationExecutor(connection)
        if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise RuntimeError(f"{len(plan)} migration(s) are not applied; run migrate")
    finally:
        connection.close()


class DiskNearlyFull(Exception):
    """Less space is left where the data lies than LEAST_FREE_DISK_MB."""


def disk_has_room() -> None:
    """Raise DiskNearlyFull unless there is space where DATA_DIR lies."""
    free = shutil.disk_usage(settings.DATA_DIR).free // 1024**2
    if free < settings.LEAST_FREE_DISK_MB:
        raise DiskNearlyFull(f"{free} MB are free; {settings.LEAST_FREE_DISK_MB} MB are wanted")


def worker_lives() -> None:
    """Raise PartSilent when no machine has a worker at work."""
    _lives("worker")


def scheduler_lives() -> None:
    """Raise PartSilent when no machine has a scheduler at work."""
    _lives("scheduler")


def _lives(part: Part) -> None:
    try:
        processes.check_alive(part, now=timezone.now())
    finally:
        connection.close()
