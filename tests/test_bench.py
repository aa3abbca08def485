"""What benchmarks measure is what they say it is."""

import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from xml.etree import ElementTree

import pytest

from bench import fixture, load, report
from bench.chart import draw_chart
from bench.honest_rows import fill
from bench.report import Comparison, compare
from catalog.models import Product
from lottery.models import Draw, SeedPair
from lottery.services import draws, seeds
from ops.services import integrity

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"code":0,}'
REFUSAL = b'HTTP/1.1 409 Conflict\r\nContent-Length: 13\r\n\r\n{"code":3001}'
IN_CHUNKS = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{"code":0,}\r\n0\r\n\r\n'
ROUNDS = [
    {"draw": {"rate": 50.0, "p99": 9.0}, "draw: peer": {"rate": 100.0, "p99": 3.0}},
    {"draw": {"rate": 90.0, "p99": 6.0}, "draw: peer": {"rate": 300.0, "p99": 3.0}},
    {"draw": {"rate": 80.0, "p99": 6.0}, "draw: peer": {"rate": 100.0, "p99": 6.0}},
]
ROW = Comparison(name="draw", ours="draw", peer="draw: peer", goal=0.5, in_the_end=0.9)
COST = Comparison(
    name="p99", ours="draw", peer="draw: peer", figure="p99", unit=" ms", goal=1.9, is_cost=True
)


def found():
    return [one for name in integrity.checks.names() for one in integrity.run(name)]


# --- The rows -----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_rows_of_the_benchmark_are_honest():
    fill(people=12, draws_each=6)
    assert Draw.objects.count() == 72
    assert SeedPair.objects.count() > 12
    assert found() == []


@pytest.mark.django_db
def test_the_people_of_the_bench_are_honest_and_can_draw():
    fixture.fill(people=5, with_ledger=2, draws_each=3, products=6)
    assert Product.objects.visible().count() == 8  # the prizes' own among them
    person_id = SeedPair.objects.order_by("-person_id").values_list("person_id", flat=True)[0]
    seeds.pairs_of(person_id)
    drawn = draws.draw(person_id=person_id, default_wheel=True, count=10)
    assert drawn.total_points > 0
    assert found() == []


# --- The ratios ---------------------------------------------------------------------------------
def test_a_ratio_is_the_median_of_those_of_the_rounds():
    (row,) = compare(ROUNDS, [ROW])
    assert row.ratios == [0.5, 0.3, 0.8]
    assert (row.ratio, row.ours, row.peer) == (0.5, 80.0, 100.0)
    assert (row.is_met, row.is_met_in_the_end) == (True, False)


def test_a_cost_has_to_stay_below_its_goal():
    (row,) = compare(ROUNDS, [COST])
    assert row.ratios == [3.0, 2.0, 1.0]
    assert (row.ratio, row.is_met, row.is_met_in_the_end) == (2.0, False, None)


def test_what_was_not_measured_is_no_row():
    assert compare([{"draw": {"rate": 50.0}}], [ROW]) == []
    (row,) = compare([{"draw": {"rate": 1.0}}, *ROUNDS[:1]], [ROW])
    assert row.ratios == [0.5]


def test_a_result_says_what_was_met_and_names_no_machine(tmp_path):
    result = report.result(
        [{"start": {"second_start_s": 4.0, "idle_mb": 120.0}}], {"fsync_ms": 0.5}
    )
    assert [fact["is_met"] for fact in result["facts"]] == [False, None]
    assert socket.gethostname() not in report.machine()
    path = report.write({**result, "commit": "abc"}, tmp_path)
    assert path.name == f"{report.machine()}-abc.json"
    assert json.loads(path.read_text("utf-8"))["fsync_ms"] == 0.5
    assert "4 s   ≤ 3 MISSED" in report.table(result)


def test_the_table_names_goals_of_now_and_of_the_end():
    result = {"rows": _rows(), "facts": []}
    text = report.table(result)
    assert "0.500   ≥ 0.5 met, in the end ≥ 0.9 MISSED" in text
    assert "2.000   ≤ 1.9 MISSED" in text


def test_the_chart_has_a_bar_for_each_goal():
    chart = draw_chart({"rows": _rows(), "machine": "2-core <x>", "commit": "abc"})
    drawn = ElementTree.fromstring(chart)  # noqa: S314  our own
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert [bar.get("fill") for bar in bars] == ["#2e7d4f", "#b3541e"]
    # The first stands at its goal, the second a little before it.
    reached, nearly = (float(bar.get("width", "0")) for bar in bars)
    assert reached == pytest.approx(280)
    assert 270 < nearly < 280


def _rows():
    keys = ("name", "ours", "peer", "unit", "ratio", "goal", "in_the_end", "is_cost")
    more = ("is_met", "is_met_in_the_end")
    return [
        {key: getattr(row, key) for key in (*keys, *more)} for row in compare(ROUNDS, [ROW, COST])
    ]


# --- The load generator -------------------------------------------------------------------------
@contextmanager
def answering(answers):
    """A server that gives these answers in turn, in two pieces each; yields port and requests."""
    requests: list[bytes] = []

    def serve(listener):
        connection, _address = listener.accept()
        with connection:
            while request := connection.recv(65536):
                answer = answers[len(requests) % len(answers)]
                requests.append(request)
                connection.sendall(answer[:20])
                connection.sendall(answer[20:])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        yield listener.getsockname()[1], requests
        thread.join()


def generated(port, **more):
    """What a generator of its own process says of five requests."""
    job = {
        "port": port,
        "connections": 1,
        "paths": ["/a", "/b"],
        "tokens": ["one", "two", "three"],
        "seconds": 5,
        "warm_up": 0,
        "most": 5,
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_generator_counts_answers_and_what_was_refused():
    with answering([ANSWER, IN_CHUNKS, REFUSAL]) as (port, requests):
        said = generated(port)
    assert (said["answered"], said["failures"]) == (5, {"3001": 1})
    assert said["p50"] <= said["p99"] <= said["max"]
    assert [request.split()[1] for request in requests] == [b"/a", b"/b", b"/a", b"/b", b"/a"]
    assert b"Authorization: Bearer two\r\n" in requests[1]


def test_the_generator_sends_a_new_key_with_each_body():
    with answering([ANSWER]) as (port, requests):
        generated(port, body='{"count":1}', is_keyed=True)
    keys = {line for one in requests for line in one.split(b"\r\n") if b"Idempotency" in line}
    assert len(keys) == 5
    assert all(request.endswith(b'\r\n\r\n{"count":1}') for request in requests)


def test_percentiles_of_nothing_are_nothing():
    assert load._percentiles([]) == {}


def test_what_is_of_the_first_round_is_not_mixed_with_later_ones():
    first = Comparison(
        name="memory", ours="draw", peer="draw: peer", figure="p99", is_of_first_round=True
    )
    (row,) = compare(ROUNDS, [first])
    assert (row.ours, row.peer, row.ratios) == (9.0, 3.0, [3.0])
