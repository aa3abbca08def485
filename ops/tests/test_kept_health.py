"""The checks of /health as a beat makes them: pages ask nobody."""

import pytest
from django.utils import timezone

from ops import life_signs
from ops.monitoring import kept_health
from ops.registry import Registry
from ops.services import health
from ops.services.pulse import beats


@pytest.fixture(autouse=True)
def nothing_kept():
    kept_health.forget()
    yield
    kept_health.forget()


@pytest.fixture
def check(monkeypatch):
    """The one check there is; it fails once `problems` says why."""
    problems: list[str] = []

    def run():
        if problems:
            raise RuntimeError(problems[0])

    registry: Registry[health.Check] = Registry()
    registry.register("probe", run)
    monkeypatch.setattr(health, "checks", registry)
    monkeypatch.setattr(health, "operation_checks", Registry())
    return problems


class Whenever:
    """However long it took."""

    def __eq__(self, other):
        return isinstance(other, float)


def report(**said):
    return health.Report({"probe": {**said, "milliseconds": Whenever()}})


@pytest.fixture
def kind(monkeypatch):
    monkeypatch.setattr(life_signs, "_kind", ["command"])
    return life_signs.set_kind


def test_before_the_first_look_nothing_is_known():
    newest = kept_health.newest()
    assert newest.report is None
    assert newest.is_old(timezone.now())


def test_a_look_is_kept_until_the_next(check):
    kept_health.look()
    check.append("away")
    newest = kept_health.newest()
    assert newest.report == report(status="ok", detail="")
    assert not newest.is_old(timezone.now())

    kept_health.look()
    assert newest.report == report(status="failed", detail="RuntimeError: away")
    assert newest.is_old(timezone.now() + 2 * kept_health.TOO_OLD)


def test_processes_that_show_pages_look_every_15_seconds(check, kind):
    beat = beats["health"]
    assert beat.every == 15
    for name in ("worker", "sockets", "command"):
        kind(name)
        beat.act()
    assert kept_health.newest().looked_at is None
    for name in ("web", "serve"):
        kept_health.forget()
        kind(name)
        beat.act()
        assert kept_health.newest().looked_at


def test_redis_is_asked_for_its_version_where_it_is_used(check, settings):
    address, settings.REDIS_URL = settings.REDIS_URL, ""
    kept_health.look()
    assert kept_health.newest().redis_version == ""
    settings.REDIS_URL = address
    kept_health.look()
    version = kept_health.newest().redis_version
    assert bool(version) is bool(address)
    settings.REDIS_URL = "redis://127.0.0.1:9"  # nobody is there
    kept_health.look()
    assert kept_health.newest().redis_version == version
    assert kept_health.newest().report == report(status="ok", detail="")
