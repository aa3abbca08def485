"""`manage.py jobs`: what there is, and one run by hand."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from ops.models import JobRun, Schedule
from ops.registry import Registry
from ops.services import jobs as jobs_service
from ops.services import schedules
from ops.services.jobs import Job
from tests.console import refused_unchanged

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def two_jobs(own_jobs, monkeypatch):
    from ops.management.commands import jobs as command
    from ops.services import scheduler

    for module in (command, scheduler):
        monkeypatch.setattr(module, "jobs", own_jobs)
    monkeypatch.setattr(jobs_service, "pauses", Registry())

    def fail(*, now):
        raise ValueError("no such thing")

    own_jobs.register("count", Job(run=lambda *, now: 7, every=HOUR, label="Count things"))
    own_jobs.register("fail", Job(run=fail, cron="0 3 * * *", label="Fail"))
    with translation.override("en"):
        yield


def said(*arguments):
    out = StringIO()
    call_command("jobs", *arguments, stdout=out)
    return out.getvalue()


def test_jobs_that_never_ran_are_shown_as_well():
    assert said("list").splitlines() == [
        "count: Count things; every hour",
        "fail: Fail; by the cron line 0 3 * * *",
    ]
    assert not Schedule.objects.exists()


def test_what_is_known_of_them_is_shown():
    said("run", "count")
    claim = schedules.claim_now("fail", worker="here:1:x", now=timezone.now())
    Schedule.objects.filter(job="count").update(failures=3, last_outcome="failed")
    count, fail = said("list").splitlines()
    assert "last run 20" in count
    assert ", Failed; failures in a row: 3; next due 20" in count
    assert fail.endswith(", Running; running at here:1:x")
    shown = json.loads(said("list", "--json"))
    assert [one["job"] for one in shown] == ["count", "fail"]
    assert shown[0]["failures"] == 3
    assert shown[1]["running_at"] == "here:1:x"
    assert claim


def test_a_pause_is_said():
    jobs_service.pauses.register("maintenance", lambda: True)
    assert said("list").splitlines()[-1] == "Paused: none begins now."


def test_a_job_is_run_and_says_what_it_did():
    assert said("run", "count") == "count: 7 (0.0 s)\n"
    (run,) = JobRun.objects.values_list("job", "outcome", "did")
    assert run == ("count", "done", "7")
    shown = json.loads(said("run", "count", "--json"))
    assert shown == {"job": "count", "outcome": "done", "seconds": 0.0, "did": "7", "error": ""}


def test_a_job_that_fails_says_so_and_exits_1():
    with pytest.raises(CommandError) as refused:
        said("run", "fail")
    assert refused.value.returncode == 1
    assert JobRun.objects.get().error == "ValueError: no such thing"


def test_a_name_that_is_none_is_refused_with_those_there_are():
    with refused_unchanged(), pytest.raises(CommandError) as refused:
        said("run", "cuont")
    assert refused.value.returncode == 2
    assert str(refused.value) == "There is no job called cuont. There are: count, fail."


def test_a_job_that_is_running_is_not_run_twice():
    schedules.claim_now("count", worker="w", now=timezone.now())
    with refused_unchanged(), pytest.raises(CommandError) as refused:
        said("run", "count")
    assert refused.value.returncode == 2
