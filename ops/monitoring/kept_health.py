"""The checks of /health as a beat last made them: a page shows them, and asks nobody."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from ops import life_signs
from ops.services import health
from ops.services.pulse import Beat, beats

logger = logging.getLogger(__name__)

LOOK_EVERY = 15  # seconds
TOO_OLD = timedelta(seconds=60)
REDIS_SECONDS = 1.0  # that it may take to say its version


@dataclass(slots=True)
class Standing:
    """How the platform stood when this process last looked; nothing before it did."""

    looked_at: datetime | None = None
    report: health.Report | None = None
    redis_version: str = ""  # as it last said

    def is_old(self, now: datetime) -> bool:
        """Whether the last look says nothing of now."""
        return self.looked_at is None or now - self.looked_at > TOO_OLD


_standing = Standing()


def register() -> None:
    """Let processes that show pages look."""
    beats.register("health", Beat(look_where_pages_are, every=LOOK_EVERY))


def look_where_pages_are() -> None:
    """Look, in a process that has the console."""
    if life_signs.kind() in {"web", "serve"}:
        look()


def look() -> None:
    """Make the checks of /health, and keep what they say."""
    _standing.report = health.report()
    _standing.looked_at = timezone.now()
    if settings.REDIS_URL:
        _standing.redis_version = _redis_version() or _standing.redis_version


def _redis_version() -> str:
    client: Redis = Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )
    try:
        return str(client.info("server").get("redis_version", ""))
    except RedisError:
        logger.warning("Redis does not say its version")
        return ""
    finally:
        client.close()


def newest() -> Standing:
    """What the last look found."""
    return _standing


def forget() -> None:
    """Know nothing. For tests."""
    _standing.looked_at, _standing.report, _standing.redis_version = None, None, ""
