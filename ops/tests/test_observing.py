"""The line that ends a request."""

import io
import json
import logging
import time

import pytest
from django.urls import path

from ops.api.views import OpenView
from ops.logs import lines as log_lines
from ops.logs.counts import REQUESTS as COUNTED
from ops.logs.counts import counts
from ops.logs.lines import (
    REQUESTS,
    Backlog,
    Console,
    JsonFormatter,
    Lines,
    RequestLine,
    TakesLines,
)
from ops.models import OperationalEvent
from ops.request_context import at_shop
from ops.services import slow_requests
from ops.tests import probe_urls
from ops.tests.forks import ends_in_a_fork
from tests.api import client_of
from tests.people import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class ShopProbeView(OpenView):
    schema = None

    def get(self, request):
        at_shop(9)
        make_person()
        raise ZeroDivisionError("password=hunter2")


urlpatterns = [path("api/at-a-shop", ShopProbeView.as_view()), *probe_urls.urlpatterns]


class Taking(TakesLines):
    """Keeps the lines of requests as they are written."""

    def __init__(self):
        super().__init__()
        self.taken = []

    def take(self, lines):
        self.taken += [json.loads(line.json()) for line in lines]


@pytest.fixture
def written():
    """What was written of the requests of a test, when it is asked for."""
    log_lines.backlog.write()
    handler = Taking()
    logging.getLogger(REQUESTS).addHandler(handler)

    def take():
        log_lines.backlog.write()
        return handler.taken

    yield take
    logging.getLogger(REQUESTS).removeHandler(handler)


def test_a_request_leaves_one_line_that_says_what_it_was(api, written):
    person = make_person()
    answer = client_of(person).get("/api/user/profile?phone=13800138001")
    (line,) = written()
    assert answer.status_code == 200
    assert line.pop("time").endswith("Z")
    assert 0 < line.pop("seconds") < 10
    assert line.pop("queries") >= 1
    assert line == {
        "level": "INFO",
        "logger": "request",
        "message": "Request",
        "request_id": answer["X-Request-ID"],
        "person_id": person.pk,
        "shop_id": None,
        "method": "GET",
        "route": "/api/user/profile",
        "status": 200,
        "code": 0,
    }


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("/api/fail/domain", ("/api/fail/<str:how>", 429, 1013)),
        ("/api/fail/bug", ("/api/fail/<str:how>", 500, 1000)),
        ("/api/broken", ("/api/broken", 500, 1000)),  # put into the envelope by the middleware
        ("/api/nothing/13800138001", ("/api/", 404, 1010)),
        ("/broken", ("/broken", 500, None)),
        ("/nothing/13800138001", ("", 404, None)),
    ],
)
def test_the_line_names_the_pattern_and_the_code(api, written, address, facts):
    api.get(address)
    (line,) = written()
    assert (line["route"], line["status"], line["code"]) == facts
    assert "13800138001" not in json.dumps(line)


def test_statements_are_counted_and_the_shop_is_said(api, written):
    api.get("/api/at-a-shop")
    (line,) = written()
    assert (line["shop_id"], line["queries"]) == (9, 1)


def test_any_word_may_be_a_method(api, written):
    api.generic("PHONE13800138001", "/api/user/profile")
    assert written()[0]["method"] == "other"


def test_a_slow_request_is_warned_of_and_counted_also_where_lines_are_off(api, written, settings):
    settings.LOG_REQUESTS = False
    before = counts()["slow_requests"]
    api.get("/api/nothing")
    assert written() == []
    settings.SLOW_REQUEST_SECONDS = 0.0
    answer = api.get("/api/nothing")
    (line,) = written()
    assert (line["level"], line["message"]) == ("WARNING", "Slow request")
    assert line["request_id"] == answer["X-Request-ID"]
    assert counts()["slow_requests"] == before + 1


def test_count_and_line_say_the_same_of_a_request(api, written):
    def counted():
        return {key: times for key, times in COUNTED.series().items() if key[0].startswith("api/f")}

    written()
    before = counted()
    api.get("/api/fail/domain")
    (line,) = written()
    ((key, times),) = (counted().items() - before.items()) or [(None, 0)]
    assert times == before.get(key, 0) + 1
    assert key == (line["route"][1:], line["method"], str(line["status"]), str(line["code"]))


def test_what_was_not_changed_has_no_envelope(api, written):
    first = api.get("/api/shops")
    assert api.get("/api/shops", headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert [(line["status"], line["code"]) for line in written()] == [(200, 0), (304, None)]


# --- How they wait --------------------------------------------------------------------------------
def line_of(number, *, created=None):
    created = time.time() if created is None else created
    return RequestLine(
        created=created, request_id=f"r{number}", person_id=None, shop_id=None, method="GET",
        route="x", is_static=False, status=200, code=None, seconds=0.00123, queries=number,
        is_slow=False,
    )  # fmt: skip


@pytest.fixture
def taken(written):
    """The ids of what other backlogs have written meanwhile."""
    (handler,) = [one for one in logging.getLogger(REQUESTS).handlers if type(one) is Taking]
    return lambda: [line["request_id"] for line in handler.taken]


def test_lines_wait_for_each_other_and_not_longer_than_a_second(taken):
    backlog = Backlog()
    backlog.add(line_of(1), is_urgent=False)  # the first one of a process
    backlog.add(line_of(2), is_urgent=False)
    assert taken() == ["r1"]
    backlog.add(line_of(3, created=time.time() + 2), is_urgent=False)
    assert taken() == ["r1", "r2", "r3"]


def test_an_urgent_line_waits_for_nothing_and_takes_the_others_along(taken):
    backlog = Backlog()
    backlog.write()
    backlog.add(line_of(1), is_urgent=False)
    assert taken() == []
    backlog.add(line_of(2), is_urgent=True)
    assert taken() == ["r1", "r2"]


def test_so_many_lines_wait_and_no_more(taken, monkeypatch):
    monkeypatch.setattr(log_lines, "MOST_WAITING", 3)
    backlog = Backlog()
    backlog.write()
    for number in range(4):
        backlog.add(line_of(number), is_urgent=False)
    assert taken() == ["r0", "r1", "r2"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_writes_while_its_parent_does(taken):
    backlog = log_lines.backlog
    backlog.write()
    backlog.add(line_of(1), is_urgent=False)

    def writes_nothing():
        waiting = len(backlog._lines)
        backlog.write()
        return not waiting

    with backlog._writing:
        assert ends_in_a_fork(writes_nothing)
    backlog.write()
    assert taken() == ["r1"]


def test_what_a_fork_does_first_leaves_the_lines_to_its_parent(taken):
    backlog = Backlog()
    backlog.write()
    backlog.add(line_of(1), is_urgent=False)
    backlog.begin_anew()
    backlog.write()
    assert taken() == []


def test_what_takes_no_lines_is_handed_none(caplog):
    Backlog().add(line_of(1), is_urgent=True)
    assert [record for record in caplog.records if record.name == REQUESTS] == []


# --- On the console -------------------------------------------------------------------------------
class Pieces(io.BytesIO):
    """Keeps each piece that is written."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def write(self, piece):
        self.pieces.append(bytes(piece))
        return len(piece)


def test_in_production_whole_lines_are_written_in_pieces_that_a_pipe_keeps_together():
    raw = Pieces()
    console = Console(io.TextIOWrapper(raw, write_through=True))
    console.stream.buffer  # noqa: B018  what it writes to
    console.setFormatter(JsonFormatter())
    console.take(Lines(line_of(number) for number in range(100)))
    assert len(raw.pieces) > 1
    assert all(len(piece) <= 4096 and piece.endswith(b"}\n") for piece in raw.pieces)
    ids = [json.loads(line)["request_id"] for line in b"".join(raw.pieces).splitlines()]
    assert ids == [f"r{number}" for number in range(100)]


def test_in_development_people_can_read_it():
    stream = io.StringIO()
    console = Console(stream)
    console.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    console.take(Lines([line_of(3)]))
    assert stream.getvalue() == "INFO request GET /x 200, 1.2 ms, 3 queries\n"


def test_a_console_that_is_gone_is_counted_and_raises_nothing():
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    console = Console(stream)
    console.setFormatter(JsonFormatter())
    before = counts()["lines_lost"]
    console.take(Lines([line_of(1), line_of(2)]))
    assert counts()["lines_lost"] == before + 2


def test_a_slow_request_becomes_an_event_that_an_alert_can_name(db):
    slow_requests._waiting.clear()
    slow_requests.note(route="api/x", request_id="r-1", seconds=6.04)

    assert slow_requests.write_waiting() == 1
    assert slow_requests.write_waiting() == 0
    event = OperationalEvent.objects.get(kind="slow_request")
    assert event.facts == {"route": "api/x", "request_id": "r-1", "seconds": 6.0}
