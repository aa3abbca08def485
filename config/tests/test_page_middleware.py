"""What pages get and the API does not."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.console import console_of

pytestmark = pytest.mark.django_db

OF_PAGES = {"X-Frame-Options", "Content-Security-Policy"}
API = ("/api/shops", "/api/lottery/config", "/api/nothing", "/api/schema")
PAGES = ("/", "/admin/login/", "/api/docs")


@pytest.mark.parametrize("path", API)
def test_an_answer_of_the_api_says_nothing_of_frames_and_scripts(path):
    answer = Client().get(path)
    assert OF_PAGES.isdisjoint(answer.headers)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert not answer.cookies


@pytest.mark.parametrize("path", PAGES)
def test_a_page_does(path):
    assert set(Client().get(path).headers) >= OF_PAGES


def test_a_form_of_a_page_needs_its_token(cast):
    browser = Client(enforce_csrf_checks=True)
    assert browser.post("/i18n/setlang/", {"language": "en"}).status_code == 403


def test_the_api_looks_at_no_session(cast):
    console = console_of(cast.staff)
    with CaptureQueriesContext(connection) as captured:
        assert console.get("/api/user/profile").status_code == 401
    assert not captured.captured_queries
