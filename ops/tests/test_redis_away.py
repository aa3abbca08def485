"""A request that cannot do without Redis is answered 1503, as without any other dependency."""

from django.test import RequestFactory
from redis.exceptions import ConnectionError as RedisAway

from ops.api.exception_handler import answer_exception


def test_redis_away_is_a_dependency_away(caplog):
    request = RequestFactory().get("/api/x")
    answer = answer_exception(RedisAway("connection refused"), {"request": request, "view": None})

    assert (answer.status_code, answer.data["code"]) == (503, 1503)
    assert "Redis is away" in caplog.text
