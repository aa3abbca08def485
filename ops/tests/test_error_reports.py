"""The technical error page and error reports show no phones, tokens, codes and names."""

import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.views import debug

from accounts.console_session import COOKIE
from ops.error_reports import ErrorReporter, ErrorReportFilter
from tests.people import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ops.tests.probe_urls")]

HIDDEN = {
    "c0de-1",  # a parameter, local variables, the message of the exception
    "13800138001",  # a parameter, a text, the message of the exception and of its cause
    "13900139002",  # the query
    "query-1",
    "csrf-1",
    "redis-pass",  # a setting
    "bearer-0123456789",
    "referer-1",
    "agent-1",
    "203.0.113.5",
    "203.0.113.9",
    "Nickname of somebody",
    "Li at home.jpg",
    django_settings.SMS_FIXED_CODE,
}
HIDDEN_BY_DJANGO = {"cookie-1", "header-0123456789"}


@pytest.fixture
def person():
    return make_person(nickname="Nickname of somebody", is_staff=True)


@pytest.fixture
def ask(client, settings, person):
    """Ask for a view that fails, with much that is sensitive, and return the technical page."""
    settings.DEBUG = True
    settings.INTERNAL = {"hosts": ["redis://:redis-pass@cache:6379/0"], "page": "page-3"}
    client.raise_request_exception = False
    client.force_login(person)
    client.cookies["other_token"] = "cookie-1"

    def ask_for(media_type):
        answer = client.post(
            "/leaking?token=query-1&to=13900139002&page=page-4",
            {
                "code": "c0de-1",
                "to": "13800138001",
                "csrfmiddlewaretoken": "csrf-1",
                "page": "page-1",
                "note": "Bearer bearer-0123456789",
                "picture": SimpleUploadedFile("Li at home.jpg", b"x"),
            },
            headers={
                "Accept": media_type,
                "Authorization": "Bearer header-0123456789",
                "User-Agent": "agent-1",
                "X-Forwarded-For": "203.0.113.5",
                "Referer": "http://testserver/?refresh_token=referer-1",
            },
            REMOTE_ADDR="203.0.113.9",
        )
        assert answer.status_code == 500
        assert answer["Content-Type"].startswith(media_type)
        return answer.content.decode()

    return ask_for


@pytest.mark.parametrize("media_type", ["text/html", "text/plain"])
def test_the_page_tells_what_failed_and_nothing_that_is_sensitive(ask, person, media_type):
    page = ask(media_type)
    assert {value for value in HIDDEN | HIDDEN_BY_DJANGO if value in page} == set()
    assert "LookupError" in page
    assert "password=*** sent to 138****8001, about page-1" in page, "what the exception says"
    assert f"#{person.pk}" in page
    for shown in ("page-1", "page-3", "page-4", "leaking_probe"):
        assert shown in page


def test_local_variables_are_shown_with_people_by_number(ask, person):
    page = ask("text/html")
    assert f"[&lt;accounts.User {person.pk}&gt;]" in page
    assert "&lt;UserQuerySet of accounts.User&gt;" in page
    assert "page-2" in page


def test_djangos_own_page_shows_all_of_it(ask, settings):
    """The twin: what is looked for above is there to be found."""
    settings.DEFAULT_EXCEPTION_REPORTER = "django.views.debug.ExceptionReporter"
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "django.views.debug.SafeExceptionReporterFilter"
    known: Any = debug.get_default_exception_reporter_filter
    known.cache_clear()
    try:
        page = ask("text/html")
    finally:
        known.cache_clear()
    assert {value for value in HIDDEN if value not in page} == set()


def test_reports_of_production_are_made_in_the_same_way(rf, settings):
    assert settings.DEBUG is False
    reporter: Any = debug.get_exception_reporter_class(rf.get("/"))
    assert reporter is ErrorReporter
    assert isinstance(debug.get_exception_reporter_filter(rf.get("/")), ErrorReportFilter)


def test_a_report_without_a_request_is_masked():
    try:
        int("13800138001.")
    except ValueError as error:
        error.add_note(f"token={'n0te' * 2}")
        text = ErrorReporter(None, *sys.exc_info()).get_traceback_text()
    assert "invalid literal for int() with base 10: '138****8001.'\ntoken=***" in text
    assert "n0ten0te" not in text


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")


class Nobody:
    @property
    def pk(self):
        raise RuntimeError("the database is away")


def test_a_report_survives_what_cannot_be_printed_and_who_cannot_be_found(rf):
    request = rf.get("/")
    request.user = Nobody()
    broken = Unprintable()
    try:
        int("x")
    except ValueError:
        html = ErrorReporter(request, *sys.exc_info()).get_traceback_html()
    assert f"&lt;{type(broken).__name__}: RuntimeError while it was printed&gt;" in html
    assert "<p>?</p>" in html, "who was signed in"


def test_a_report_shows_no_cookie_that_opens_something_and_no_list_of_codes(rf):
    codes = [f"{number}-of-these" for number in range(3)]
    request = rf.get("/")
    request.user = Nobody()
    request.COOKIES = dict(zip((COOKIE, "csrftoken", "sessionid"), codes, strict=True))
    try:
        int("x")
    except ValueError:
        reporter = ErrorReporter(request, *sys.exc_info())
        told = reporter.get_traceback_html() + reporter.get_traceback_text()
    assert COOKIE in told
    assert [code for code in codes if code in told] == []
