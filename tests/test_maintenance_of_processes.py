"""Three processes without Redis: all of them refuse within 5 seconds, and say what is running."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import httpx
import psycopg
import pytest

from ops.tests.databases import wait_until
from tests import live
from tests.api import answer_of, data_of
from tests.live import ANSWER_SECONDS, ROOT, Platform

IN_TIME, A_BUSY_MACHINE = 5, 25  # seconds
CHANCES = 3  # of a machine that is busy with other tests
LOOK_AGAIN = 0.05
CUSTOMER = "13800138001"


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    with live.processes(folder, REDIS_URL="", LANGUAGE_CODE="en") as running:
        yield running


def shops_at(process):
    return httpx.get(f"{process.base}/api/shops", headers={"Accept-Language": "en"}, timeout=30)


def is_healthy(process):
    return httpx.get(f"{process.base}/health", timeout=ANSWER_SECONDS).status_code == 200


def seconds_until(processes, status):
    """How long it takes until all of them answer so."""
    began = time.monotonic()
    for process in processes:
        while shops_at(process).status_code != status:
            assert time.monotonic() < began + IN_TIME + A_BUSY_MACHINE, f"not {status} in time"
            time.sleep(LOOK_AGAIN)
    return time.monotonic() - began


@contextmanager
def turning_on(process, *arguments):
    """The command, beside what happens meanwhile; maintenance is off afterwards."""
    command = [sys.executable, "manage.py", "maintenance", "on", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=process.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.communicate()
            assert process.manage("maintenance", "off").returncode == 0


def test_all_refuse_within_five_seconds_and_all_go_on(processes, capsys):
    customer = processes[2].sign_in(CUSTOMER)
    before = customer.get("/api/user/profile")["total_points"]
    with turning_on(processes[0], "--message", "Back at two.") as command:
        assert command.stdout.readline() == "Maintenance is on.\n"
        seconds = seconds_until(processes, 503)
        for process in processes:
            refused = answer_of(shops_at(process))
            assert (refused.status, refused.code) == (503, 1503)
            assert shops_at(process).json()["msg"] == "Back at two."
            wait_until(partial(is_healthy, process), ANSWER_SECONDS)
            ready = httpx.get(f"{process.base}/api/ready", timeout=ANSWER_SECONDS)
            assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        assert customer.refused("POST", "/api/lottery/draw", {"count": 1}) == 1503
        told = list(command.stdout)  # perhaps first that one of ours is running
        assert told[-1] == "Nothing is running any more (3 serving processes said so).\n"
        assert command.wait() == 0
    on_again = seconds_until(processes, 200)
    assert customer.get("/api/user/profile")["total_points"] == before
    took = [seconds]
    while took[-1] > IN_TIME and len(took) < CHANCES:
        with turning_on(processes[0], "--wait", "0") as command:
            assert command.stdout.readline() == "Maintenance is on.\n"
            took.append(seconds_until(processes, 503))
        seconds_until(processes, 200)
    assert took[-1] <= IN_TIME, took
    with capsys.disabled():
        print(f"\nall refuse after {took[-1]:.2f} s, all answer after {on_again:.2f} s")  # noqa: T201


def test_a_process_that_starts_meanwhile_refuses_its_first_request(processes):
    with turning_on(processes[0], "--wait", "0"):
        late = Platform(processes[0].log.parent, processes[0].environment)
        late.start()
        try:
            assert shops_at(late).status_code == 503
        finally:
            late.stop()
    seconds_until(processes, 200)


# A change of a nickname takes as long as a row of this table is there.
HOLD = """
CREATE TABLE held (id int);
INSERT INTO held VALUES (1);
CREATE FUNCTION wait_for_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    WHILE EXISTS (SELECT 1 FROM held) LOOP PERFORM pg_sleep(0.05); END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER held BEFORE UPDATE OF nickname ON accounts_user
    FOR EACH ROW EXECUTE FUNCTION wait_for_held();
"""
ASLEEP = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.mark.postgresql
def test_a_request_that_is_running_on_another_process_is_waited_for(processes):
    customer = processes[1].sign_in(CUSTOMER)
    answers = []

    def rename():
        answers.append(customer.http.patch("/api/user/profile", json={"nickname": "Somebody"}))

    address = processes[0].environment["DATABASE_URL"]
    with psycopg.connect(address, autocommit=True) as holder:
        holder.execute(HOLD)
        renaming = threading.Thread(target=rename)
        renaming.start()
        wait_until(lambda: holder.execute(ASLEEP).fetchone(), ANSWER_SECONDS)
        with turning_on(processes[0]) as command:
            assert command.stdout.readline() == "Maintenance is on.\n"
            # Before it there may be a process that has not heard of it yet, and runs nothing.
            next(line for line in command.stdout if line.startswith("1 requests are running on "))
            holder.execute("DELETE FROM held")
            renaming.join()
            told = list(command.stdout)  # perhaps that one process has ended meanwhile
            assert told[-1].startswith("Nothing is running any more")
            assert command.wait() == 0
    assert data_of(answers[0])["nickname"] == "Somebody", "what had begun was done"
