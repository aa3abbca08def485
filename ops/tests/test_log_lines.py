"""A line of the log as machines read it."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from ops import request_context, security_log
from ops.logs.lines import LONGEST_MESSAGE, LONGEST_TRACE, JsonFormatter, utc
from ops.masking import MaskingFilter
from ops.request_id import RequestIdFilter, current
from tests.people import make_person

logger = logging.getLogger("probe")


class Keeping(logging.Handler):
    """Keeps what it would write."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.setFormatter(JsonFormatter())
        self.addFilter(RequestIdFilter())
        self.addFilter(MaskingFilter())

    def emit(self, record):
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines():
    handler = Keeping()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


def test_a_line_says_when_what_and_for_which_request(lines):
    token = current.set("abcdef-1")
    logger.warning("%s of %d\nlines", "one", 2)
    current.reset(token)
    (line,) = lines
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() == timedelta()
    assert line == {
        "level": "WARNING",
        "logger": "probe",
        "message": "one of 2\nlines",
        "request_id": "abcdef-1",
        "person_id": None,
        "shop_id": None,
    }


def test_times_are_texts_in_their_own_order():
    moments = [0.0, 0.9994, 1.0, 1.5, 1_790_000_000.001, 1_790_000_000.01]
    assert sorted(map(utc, moments)) == [utc(moment) for moment in moments]
    assert utc(1.5) == "1970-01-01T00:00:01.500Z"


@pytest.mark.django_db
def test_who_acts_and_where_is_said_as_far_as_it_is_known(lines, django_assert_num_queries):
    request: Any = RequestFactory().get("/")
    with request_context.serving(request), django_assert_num_queries(0):
        logger.warning("early")
        request.user = SimpleLazyObject(make_person)
        logger.warning("nobody has asked who it is yet")
        request.user = AnonymousUser()
        logger.warning("a stranger")
    person = make_person()
    request.user = person
    with request_context.serving(request):
        request_context.at_shop(7)
        logger.warning("known")
    request_context.at_shop(8)  # of no request
    logger.warning("after it")
    assert [(line["person_id"], line["shop_id"]) for line in lines] == [
        (None, None),
        (None, None),
        (None, None),
        (person.pk, 7),
        (None, None),
    ]


def test_facts_stand_under_their_names_and_are_masked(lines):
    facts = {"n": 1, "share": 0.5, "ok": True, "none": None, "phone": "x", "to": "13800138001"}
    logger.warning("told", extra={"facts": facts})
    told = {name: lines[0][name] for name in facts}
    assert told == {**facts, "phone": "***", "to": "138****8001"}


def test_an_exception_is_a_masked_trace_in_the_same_line(lines):
    try:
        raise LookupError("password=hunter2")  # noqa: TRY301  it is logged here
    except LookupError:
        logger.exception("It failed for %s", "13800138001")
    (line,) = lines
    assert line["message"] == "It failed for 138****8001"
    assert line["trace"].endswith("LookupError: password=***")
    assert line["trace"].startswith("Traceback")


def test_what_is_long_is_cut_and_what_is_no_text_is_written():
    keeping = Keeping()  # not by the root: what pytest keeps of the log has to be text
    for message in ("x" * 10 * LONGEST_MESSAGE, "half \udc80 of a sign", "m"):
        record = logger.makeRecord("probe", logging.ERROR, "f", 1, message, (), None)
        record.exc_text = "y" * 10 * LONGEST_TRACE if message == "m" else None
        keeping.handle(record)
    long, half, trace = keeping.lines
    assert len(long["message"]) == LONGEST_MESSAGE
    assert half["message"].startswith("half ")
    assert len(trace["trace"]) == LONGEST_TRACE


def test_a_line_of_the_security_log_says_its_shop(lines):
    security_log.note("sign_in", person_id=5, shop_id=7)
    assert lines[0]["shop_id"] == 7


@pytest.mark.parametrize("offered", ["13800138001", "x-13800138001", "eyJhbGci.eyJ1c2Vy.Hk9w"])
def test_no_request_id_is_a_phone_or_a_token(client, offered):
    given = client.get("/api/x", headers={"X-Request-ID": offered})["X-Request-ID"]
    assert offered not in given
    assert len(given) == 32
