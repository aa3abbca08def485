"""Three servers, a command and a scrape: the sums are right, also after one of them was killed."""

import re
import signal
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.tests.databases import wait_until
from tests import live
from tests.live import ANSWER_SECONDS, Platform

CUSTOMER = "13800138001"
WRITTEN_WITHIN = 60  # seconds; a second is what is promised of a machine with nothing else to do


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Three servers on one database and in one folder."""
    folder = tmp_path_factory.mktemp("processes")
    with live.processes(folder) as running:
        yield running


def scraped(process: Platform) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"{process.base}/metrics", timeout=ANSWER_SECONDS)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def after_a_while(ask: Callable[[], float], wanted: float) -> None:
    """Others write down what they counted once a second: ask until it is so."""
    deadline = time.monotonic() + WRITTEN_WITHIN
    while (got := ask()) != wanted:
        assert time.monotonic() < deadline, (got, wanted)
        time.sleep(0.1)


def test_the_sums_of_three_processes_are_right_whoever_is_asked_and_whoever_is_killed(processes):
    first, second, third = processes

    def requests_of(process: Platform) -> Callable[[], float]:
        return lambda: sum(
            value
            for key, value in scraped(process).items()
            if key[0] == "platform_requests_total" and "api/shops" in key
        )

    for number, process in enumerate(processes, start=1):
        for _time in range(number * 10):
            assert httpx.get(f"{process.base}/api/shops", timeout=ANSWER_SECONDS).status_code == 200
    for process in processes:
        after_a_while(requests_of(process), 60)

    draws = [process.sign_in(CUSTOMER) for process in processes]
    for number, customer in enumerate(draws, start=1):
        customer.post("/api/lottery/draw", {"count": number})
    after_a_while(lambda: scraped(first)["platform_draws_total",], 6)
    assert scraped(first)["platform_processes", "serve"] == 3

    assert third.process is not None
    third.process.send_signal(signal.SIGKILL)
    third.process.wait()
    now = scraped(first)
    assert now["platform_draws_total",] == 6
    assert now["platform_processes", "serve"] == 2
    assert requests_of(second)() == 60
    assert now["platform_process_cpu_seconds_total", "serve"] > 0

    # What comes back counts on, and a command that is over before anybody asks is counted as well.
    third.start()
    httpx.get(f"{third.base}/api/shops", timeout=ANSWER_SECONDS)
    assert first.manage("check_integrity").returncode == 0
    after_a_while(requests_of(second), 61)
    after_a_while(lambda: scraped(first)["platform_events_total", "integrity_checked"], 1)
    after_a_while(lambda: scraped(first)["platform_processes", "serve"], 3)


def test_health_of_a_server_names_storage_worker_and_scheduler(processes):
    def checks():
        answer = httpx.get(f"{processes[0].base}/health", timeout=ANSWER_SECONDS)
        return answer.json()["checks"]

    assert {"storage", "disk", "worker", "scheduler"} <= set(checks())
    # A check that a busy machine holds up for a second and a half is asked again.
    wait_until(lambda: {one["status"] for one in checks().values()} == {"ok"}, ANSWER_SECONDS)


def test_no_number_of_anybody_stands_in_what_is_scraped(processes):
    first = processes[0]
    customer = first.sign_in(CUSTOMER)
    httpx.get(f"{first.base}/api/nothing/{CUSTOMER}", timeout=ANSWER_SECONDS)
    text = httpx.get(f"{first.base}/metrics", timeout=ANSWER_SECONDS).text
    assert CUSTOMER not in text
    assert customer.token not in text
    said = [line.partition("{")[2].partition("}")[0] for line in text.splitlines()]
    assert not [labels for labels in said if re.search(r"1[3-9][0-9]{9}", labels)]
