"""Every answer under /api/ has one form, whoever gives it."""

import logging

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from accounts.tests.factories import sign_in
from ops.api.middleware import EnvelopeMiddleware
from ops.request_id import RequestIdFilter
from ops.tests.databases import other_parameters
from tests.api import data_of
from tests.refusals import refused

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ops.tests.probe_urls")]


@pytest.fixture(params=[False, True], ids=["debug off", "debug on"])
def debug(request, settings):
    settings.DEBUG = request.param


# --- The form -----------------------------------------------------------------------------------
def test_a_success_has_exactly_three_keys(api):
    response = api.post("/api/echo", {"a": [1, "中", None, True]}, format="json")
    assert response.json() == {
        "code": 0,
        "msg": "success",
        "data": {"read": {"a": [1, "中", None, True]}},
    }
    assert response["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/x", "/api/auth", "/api/auth/login/", "/api/user/profile/x", "/api//",
     "/api/health/", "/api/%00", "/api/%F0%9F%8E%B2", "/api/a b", "/api/../api/x", "/api/x.json",
     "/api/x?format=xml", "/api/admin/"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_an_unknown_path_is_1010(api, debug, path, method):
    assert refused(getattr(api, method)(path), 1010) is None


def test_an_unknown_path_outside_the_api_is_a_page(api):
    assert api.get("/nowhere")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("how", "code"),
    [("domain", 1013), ("away", 1503), ("database", 1503), ("bug", 1000), ("http404", 1010),
     ("denied", 1009), ("drf denied", 1009), ("drf missing", 1010), ("throttled", 1013),
     ("throttled for ever", 1013), ("not signed in", 1006), ("suspicious", 1017)],
)  # fmt: skip
def test_whatever_is_raised_leaves_in_the_envelope(api, debug, how, code):
    response = api.get(f"/api/fail/{how}")
    data = refused(response, code)
    assert data is None or code == 1000
    assert "hunter2" not in response.content.decode()
    assert "Traceback" not in response.content.decode()


@pytest.mark.parametrize(("path", "code"), [("/api/plain", 1010), ("/api/broken", 1000)])
def test_what_django_itself_answers_is_enveloped_as_well(api, debug, path, code):
    response = api.get(path)
    refused(response, code)
    assert "hunter2" not in response.content.decode()


def test_an_answer_that_cannot_be_written_is_1000(api, debug):
    refused(api.get("/api/broken-answer"), 1000)


@pytest.mark.parametrize("host", ["evil.example", "evil example", "localhost:x", "a" * 300, "é"])
@pytest.mark.parametrize("path", ["/api/auth/verify", "/api/shops", "/api/nothing", "/health"])
def test_a_host_that_is_not_ours_has_nothing(api, debug, caplog, host, path):
    response = api.get(path, headers={"Host": host, "Accept-Language": "en"})
    assert refused(response, 1010) is None
    assert response.json()["msg"] == "There is nothing here."
    (line,) = caplog.records
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert "ALLOWED_HOSTS" in line.getMessage() or "RFC 1034" in line.getMessage()


@pytest.mark.parametrize("path", ["/", "/admin/", "/files/x", "/ws/"])
def test_nor_has_it_anything_outside_of_the_api(api, debug, caplog, path):
    response = api.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 404
    assert "X-Request-ID" in response
    (line,) = caplog.records
    assert (line.levelname, line.exc_info) == ("WARNING", None)


def test_not_even_a_redirect_to_https(api, settings):
    settings.SECURE_SSL_REDIRECT = True
    refused(api.get("/api/shops", headers={"Host": "evil.example"}), 1010)
    assert api.get("/api/shops").status_code == 301


@pytest.mark.parametrize(("how", "seconds"), [("domain", "7"), ("throttled", "30"), ("away", "5")])
def test_429_and_503_say_when_to_come_back(api, how, seconds):
    assert api.get(f"/api/fail/{how}")["Retry-After"] == seconds


def test_other_refusals_say_no_time(api):
    assert "Retry-After" not in api.get("/api/fail/http404")


def test_an_unexpected_failure_names_its_request_and_is_logged(api, caplog):
    response = api.get("/api/fail/bug", headers={"X-Request-ID": "abcdef-1"})
    assert refused(response, 1000) == {"request_id": "abcdef-1"}
    assert "/api/fail/bug failed" in caplog.text
    assert "hunter2" in caplog.text  # the log has the stack trace, the client has not


@pytest.mark.parametrize(
    "path", ["/api/fail/bug", "/api/broken", "/api/broken-answer", "/broken", "/api/fail/database"]
)
def test_a_failure_is_logged_once_with_its_request_id(api, caplog, path):
    caplog.handler.addFilter(RequestIdFilter())
    response = api.get(path, headers={"X-Request-ID": "abcdef-1"})
    assert response.status_code >= 500
    (line,) = caplog.records
    assert line.request_id == "abcdef-1"
    assert bool(line.exc_info) == (response.status_code == 500)


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "trace", "options"])
def test_another_method_is_1012(api, method):
    response = getattr(api, method)("/api/auth/code")
    if method == "options":
        data_of(response)
    else:
        refused(response, 1012)
        assert "POST" in response["Allow"]


@pytest.mark.parametrize(
    "path", ["/health", "/api/health", "/api/ready", "/api/schema", "/api/docs"]
)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
def test_what_answers_outside_the_envelope_refuses_inside_it(api, debug, path, method):
    for language, message in (
        ("en", "This address does not take that method."),
        ("zh", "请求方法"),
    ):
        response = getattr(api, method)(path, headers={"Accept-Language": language})
        assert refused(response, 1012) is None
        assert message in response.json()["msg"]
        assert {"get", "head"} <= names(response["Allow"])


@pytest.mark.parametrize("path", ["/health", "/api/health", "/api/docs"])
def test_what_is_put_into_the_envelope_keeps_the_headers_every_answer_has(api, path):
    response, any_refusal = api.post(path), api.delete("/api/auth/code")
    assert response["Content-Type"] == "application/json"
    assert response["Content-Language"] == any_refusal["Content-Language"]
    assert "Content-Security-Policy" in response
    assert {*any_refusal.headers} - {*response.headers} <= {"Content-Length"}


def test_what_is_put_into_the_envelope_keeps_its_time_and_not_the_length_of_what_it_was():
    page = HttpResponse("x" * 500, status=503, headers={"Retry-After": "77", "ETag": '"page"'})
    page["Content-Length"] = "500"
    answer = EnvelopeMiddleware(lambda _request: page)(RequestFactory().get("/api/x"))
    assert {**answer.headers} == {"Content-Type": "application/json", "Retry-After": "77"}


@pytest.mark.parametrize("path", ["/health", "/api/health", "/api/docs", "/api/schema"])
def test_a_host_that_is_not_ours_has_nothing_there_either(api, debug, path):
    refused(api.get(path, headers={"Host": "evil.example"}), 1010)


def test_head_answers_without_a_body(api):
    sign_in(api)
    response = api.head("/api/auth/verify")
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize("path", ["/health", "/api/health", "/api/ready"])
@pytest.mark.postgresql
@pytest.mark.usefixtures("just_started")
def test_health_can_be_asked_by_head_and_options(api, path):
    head, options = api.head(path), api.options(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Type"] == api.get(path)["Content-Type"]
    assert options.status_code == 200
    assert names(options["Allow"]) == {"get", "head", "options"}


# The checks ask from threads of their own, and SQLite in memory keeps a connection for each.
ASKING = [
    pytest.param(path, marks=pytest.mark.postgresql) for path in ("/api/health", "/api/ready")
]


@pytest.mark.parametrize("path", [*ASKING, "/api/schema", "/api/docs"])
@pytest.mark.usefixtures("just_started")
def test_health_and_documents_stand_outside_the_envelope(api, path):
    response = api.get(path)
    assert response.status_code == 200
    if response["Content-Type"].startswith("application/json"):
        assert "msg" not in response.json()


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense", ""])
def test_the_answer_is_json_whatever_the_client_accepts(api, accept):
    response = api.get("/api/x", headers={"Accept": accept})
    refused(response, 1010)
    assert response["Content-Type"].startswith("application/json")


# --- Language -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wanted", "given"),
    [(None, "zh-hans"), ("", "zh-hans"), ("en", "en"), ("en-GB,en;q=0.9", "en"),
     ("zh-CN,zh;q=0.9,en;q=0.8", "zh-hans"), ("zh", "zh-hans"), ("fr", "zh-hans"),
     ("fr,en;q=0.5", "en"), ("*", "zh-hans"), ("x" * 600, "zh-hans"), ("en-", "zh-hans")],
)  # fmt: skip
def test_messages_are_in_the_language_asked_for(api, wanted, given):
    headers = {} if wanted is None else {"Accept-Language": wanted}
    sign_in(api)
    response = api.post("/api/favorites/check", {}, format="json", headers=headers)
    assert response["Content-Language"] == given
    reasons = refused(response, 1011)["product_ids"]
    assert reasons == {"en": ["This field is required."], "zh-hans": ["该字段是必填项。"]}[given]


def test_texts_that_wait_for_a_language_get_the_readers(api):
    for language, text in (("en", "This field is required."), ("zh", "该字段是必填项。")):
        response = api.get("/api/lazy", headers={"Accept-Language": language})
        assert data_of(response) == {"why": text}


def test_refusals_speak_chinese_and_english(api):
    for language, text in (("en", "There is nothing here."), (None, "内容不存在")):
        headers = {"Accept-Language": language} if language else {}
        assert text in api.get("/api/x", headers=headers).json()["msg"]


def test_the_languages_of_two_requests_do_not_mix(api):
    for language, content in (("en", "en"), ("", "zh-hans"), ("en", "en")):
        response = api.get("/api/x", headers={"Accept-Language": language})
        assert response["Content-Language"] == content


def test_the_switch_of_the_console_does_not_speak_for_the_api(api, settings):
    api.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    assert api.get("/api/x")["Content-Language"] == "zh-hans"
    assert api.get("/")["Content-Language"] == "en"


# --- X-Request-ID -------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/api/x", "/api/fail/bug", "/api/broken", "/api/docs", "/x"])
@pytest.mark.parametrize("offered", ["a", "req-1", "0190.A_b-9", "x" * 128])
def test_a_well_formed_request_id_is_taken(api, path, offered):
    assert api.get(path, headers={"X-Request-ID": offered})["X-Request-ID"] == offered


@pytest.mark.parametrize("offered", ["", " ", "a b", "x" * 129, "é", "a;b", "<b>", "a\r\nb", "a\n"])
def test_a_request_id_of_another_form_is_replaced(api, offered):
    given = api.get("/api/x", headers={"X-Request-ID": offered})["X-Request-ID"]
    assert given != offered
    assert len(given) == 32


def test_every_request_gets_an_id_of_its_own(api):
    assert api.get("/api/x")["X-Request-ID"] != api.get("/api/x")["X-Request-ID"]


def test_the_log_carries_the_request_id(api, settings):
    lines = []

    class Keeping(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Keeping()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter(settings.LOGGING["formatters"]["line"]["format"]))
    logger = logging.getLogger("ops.api.exception_handler")
    logger.addHandler(handler)
    try:
        api.get("/api/fail/bug", headers={"X-Request-ID": "abcdef-1"})
    finally:
        logger.removeHandler(handler)
    assert "[abcdef-1]" in lines[0]


# --- CORS ---------------------------------------------------------------------------------------
ORIGIN = "https://app.example"
EXPOSED = {"x-request-id", "idempotent-replay", "retry-after"}


@pytest.fixture
def cors(settings):
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]


def names(value):
    return {name.strip().lower() for name in value.split(",")}


@pytest.mark.parametrize("path", ["/api/x", "/api/fail/bug", "/api/plain", "/api/broken"])
def test_an_allowed_page_may_read_every_answer(api, cors, path):
    response = api.get(path, headers={"Origin": ORIGIN})
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert names(response["Access-Control-Expose-Headers"]) == EXPOSED
    assert "origin" in names(response["Vary"])


def test_another_page_may_read_nothing(api, cors):
    response = api.get("/api/x", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in response


def test_no_page_is_allowed_by_default(api):
    response = api.get("/api/x", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in response


def test_pages_outside_the_api_are_not_shared(api, cors):
    assert "Access-Control-Allow-Origin" not in api.get("/", headers={"Origin": ORIGIN})


def test_a_preflight_is_answered_without_a_token(api, cors):
    response = api.options(
        "/api/user/profile",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        },
    )
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    wanted = {"authorization", "idempotency-key", "x-request-id", "accept-language"}
    assert names(response["Access-Control-Allow-Headers"]) >= wanted
    assert "patch" in names(response["Access-Control-Allow-Methods"])
    assert "X-Request-ID" in response


# --- A dependency that is away ------------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_a_database_the_answer_is_1503_and_later_all_is_well(api, settings):
    sign_in(api)
    data_of(api.get("/api/auth/verify"))
    with other_parameters(port=1, timeout=0.3):
        assert refused(api.get("/api/auth/verify"), 1503) is None
        refused(api.post("/api/auth/login", {"phone": "13800138001", "code": "123456"}), 1503)
        assert api.get("/health").json()["status"] == "unhealthy"
    data_of(api.get("/api/auth/verify"))


def test_without_redis_requests_are_served_and_counted_by_the_process(api, settings):
    sign_in(api)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    for _request in range(40):
        data_of(api.get("/api/auth/verify"))
