"""Is what every app needs there: the database, the cache, the channel layer, the schema."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from ops.services import health


def register() -> None:
    """Register the health and readiness checks of the platform itself."""
    health.checks.register("database", database_answers)
    health.checks.register("cache", cache_keeps)
    health.checks.register("channel_layer", channel_layer_carries)
    health.readiness_checks.register("migrations", migrations_applied)


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
