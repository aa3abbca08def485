"""What a machine that does background work does for the alerts, and no other process."""

import pytest

from ops import life_signs
from ops.models import MetricSample
from ops.monitoring import watch
from ops.tests.alerts import make_channel

pytestmark = pytest.mark.django_db


@pytest.fixture
def kind(monkeypatch):
    return lambda name: monkeypatch.setattr(life_signs, "_kind", [name])


def test_samples_are_taken_where_background_work_runs(kind):
    take = watch._in_background(watch.sample)
    kind("web")
    take()
    assert MetricSample.objects.count() == 0

    kind("worker")
    take()

    readings = MetricSample.objects.get().readings
    assert "platform_review_queue" in readings
    assert not any("_bucket" in series for series in readings)


def test_nothing_that_waits_is_nothing_to_send():
    make_channel()
    watch.deliver()
