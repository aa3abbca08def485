"""How a request is read, and which refusal wins when several are due."""

import json

import pytest
from django.utils.translation import gettext, override

from accounts.models import UserStatus
from accounts.services.sign_in import change_status
from accounts.tests.factories import sign_in
from ops.api.fields import NO_FIELD, IdentifierField
from ops.api.parsers import DEEPEST_BODY
from ops.api.throttle import PersonThrottle
from ops.errors import DomainError, ValidationFailed
from ops.identifiers import read_identifier
from tests.api import client_of, data_of
from tests.documents import hold
from tests.people import make_person
from tests.refusals import refused

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ops.tests.probe_urls")]
JSON = "application/json"


def send(api, path, body=b"", content_type=JSON, method="POST", **extra):
    return api.generic(method, path, body, content_type=content_type, **extra)


# --- 1016, 1017, 1018 ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", "",
     "application/x-www-form-urlencoded", "application/jsonx", "application/octet-stream"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_media_type_is_1016(api, content_type, method):
    refused(send(api, "/api/echo", b'{"a": 1}', content_type, method), 1016)


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", "APPLICATION/JSON"]
)
def test_json_is_taken(api, content_type):
    assert data_of(send(api, "/api/echo", b'{"a": 1}', content_type)) == {"read": {"a": 1}}


@pytest.mark.parametrize("content_type", [JSON, "", "text/plain"])
def test_no_body_is_an_empty_one(api, content_type):
    assert data_of(send(api, "/api/echo", b"", content_type)) == {"read": {}}


@pytest.mark.parametrize(
    "body",
    [b"{", b"garbage", b"{'a': 1}", b'{"a": 1,}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a" 1}',
     b'\xff\xfe{"a": 1}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'\xef\xbb\xbf{"a": 1}',
     b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000, b'{"a": "\n"}', b"\x00",
     b'{"a": 1}{"b": 2}', b"9" * 5000],
    ids=lambda body: f"{body[:24]!r} {len(body)}",
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_1017(api, body):
    assert refused(send(api, "/api/echo", body), 1017) is None


FORM = "multipart/form-data; boundary=x"
URL_ENCODED = "application/x-www-form-urlencoded"
BODIES = {
    JSON: b"{}",
    FORM: b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    URL_ENCODED: b"a=1",
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    "charset",
    ["idna", "punycode", "bz2_codec", "base64", "utf-7", "utf-16", "utf-8-sig", "gbk", "latin-1",
     "unicode_escape", "undefined", "nonsense", '""', "\u00e9", "*"],
)  # fmt: skip
def test_a_charset_that_is_not_utf_8_is_1017(api, kind, charset):
    refused(send(api, "/api/form", BODIES[kind], f"{kind}; charset={charset}"), 1017)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_utf_8_may_be_named(api, kind, charset):
    data_of(send(api, "/api/form", BODIES[kind], f"{kind}; charset={charset}"))


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "+1", "５", " 1"])
def test_a_length_that_is_none_is_1017(api, length):
    refused(send(api, "/api/echo", b"{}", CONTENT_LENGTH=length), 1017)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_body_may_be_nested_so_deep_and_no_deeper(api, opening, closing):
    def nested(levels):
        return (opening * levels + "1" + closing * levels).encode()

    data_of(send(api, "/api/echo", nested(DEEPEST_BODY - 1)))
    refused(send(api, "/api/echo", nested(DEEPEST_BODY)), 1017)


def test_a_broken_form_is_1017(api):
    refused(send(api, "/api/form", b"x", "multipart/form-data"), 1017)
    refused(send(api, "/api/form", b"x", "multipart/form-data; boundary="), 1017)


def test_a_form_with_too_many_fields_is_1017(api, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    fields = {f"f{number}": "1" for number in range(5)}
    refused(api.post("/api/form", fields, format="multipart"), 1017)


def test_a_form_with_a_huge_field_is_1018(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    refused(api.post("/api/form", {"a": "x" * 500}, format="multipart"), 1018)


def test_a_body_too_large_is_1018(api):
    limit = 1024 * 1024
    data_of(send(api, "/api/echo", json.dumps("x" * (limit - 2)).encode()))
    refused(send(api, "/api/echo", json.dumps("x" * (limit - 1)).encode()), 1018)


@pytest.mark.parametrize("body", [b"{", b"x" * (1024 * 1024 + 1)], ids=["broken", "too large"])
def test_a_body_that_nobody_reads_does_not_matter(api, body):
    data_of(send(api, "/api/shops", body, method="GET"))


@pytest.mark.parametrize("path", ["/api/shops", "/api/exchange/products"])
def test_too_many_parameters_are_1011(api, settings, path):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    answer = api.get(path, {"a": "1", "b": "2", "c": "3", "d": "4"})
    hold(answer)
    assert list(refused(answer, 1011)) == [NO_FIELD]
    data_of(api.get(path, {"a": "1", "b": "2", "c": "3"}))


# --- One answer wins ----------------------------------------------------------------------------
@pytest.fixture
def throttled(settings):
    """From now on one request a minute and person is enough."""
    settings.REQUESTS_PER_PERSON = "1/min"


GOOD = {"amount": "1", "count": 1}


def test_who_it_is_comes_before_everything_else(api):
    for path in ("/api/shape", "/api/denied"):
        refused(send(api, path, b"{", "text/plain"), 1006)
        refused(send(api, path, b"x" * 2_000_000), 1006)
    person = sign_in(api).person
    change_status(person=person, status=UserStatus.BANNED)
    refused(send(api, "/api/denied", b"{", "text/plain"), 1005)


def test_the_rate_comes_before_permission(throttled):
    api = client_of()
    sign_in(api)
    refused(send(api, "/api/denied", b"{"), 1009)
    response = send(api, "/api/denied", b"{")
    refused(response, 1013)
    assert 1 <= int(response["Retry-After"]) <= 60


def test_permission_comes_before_the_body(api):
    sign_in(api)
    refused(send(api, "/api/denied", b"{"), 1009)
    refused(send(api, "/api/denied", b"{}", "text/plain"), 1009)
    refused(send(api, "/api/denied", b"x" * 2_000_000), 1009)


def test_the_body_comes_before_its_shape(api):
    sign_in(api)
    refused(send(api, "/api/shape", b"{"), 1017)
    refused(send(api, "/api/shape", b"{}", "text/plain"), 1016)


def test_the_rate_is_each_persons_own(throttled):
    one, other = client_of(), client_of()
    person = sign_in(one).person
    sign_in(other)
    data_of(one.get("/api/auth/verify"))
    refused(one.get("/api/auth/verify"), 1013)
    data_of(other.get("/api/auth/verify"))
    tablet = client_of()
    sign_in(tablet, person)
    refused(tablet.get("/api/auth/verify"), 1013)


def test_the_rate_is_600_a_minute(settings):
    assert settings.REQUESTS_PER_PERSON == PersonThrottle().get_rate() == "600/min"
    assert PersonThrottle().parse_rate("600/min") == (600, 60)


def test_strangers_are_not_counted(throttled, api):
    for _ in range(3):
        data_of(send(api, "/api/echo", b"{}"))


def test_an_open_call_takes_a_stranger_and_no_bad_token(api):
    data_of(send(api, "/api/echo", b"{}"))
    refused(send(api, "/api/echo", b"{}", headers={"Authorization": "Bearer x"}), 1006)
    data_of(api.post("/api/auth/login", {"phone": "13800138001", "code": "123456"}))


# --- Shapes -------------------------------------------------------------------------------------
@pytest.fixture
def signed_in():
    return client_of(make_person(), raise_request_exception=False)


def shaped(api, **body):
    return api.post("/api/shape", body, format="json")


def test_a_good_body_is_read(signed_in):
    read = data_of(shaped(signed_in, amount=" 1 ", count=10, product_id=7, odd=1))
    assert read == {"amount": " 1 ", "count": 10, "product_id": 7}


@pytest.mark.parametrize("count", [0, 11, -1, "5", 5.0, 5.5, True, None, [], {}, "", 10**30])
def test_a_field_with_a_code_of_its_own_answers_with_it(signed_in, count):
    refused(shaped(signed_in, amount="1", count=count), 3004)


def test_a_missing_field_answers_with_its_code_and_the_first_of_several_wins(signed_in):
    refused(shaped(signed_in, amount="1"), 3004)
    refused(shaped(signed_in), 3004)
    refused(shaped(signed_in, count=1), 5002)
    refused(shaped(signed_in, amount=5, count=1), 5002)
    refused(shaped(signed_in, amount="\u0000", count=1), 5002)


def test_any_other_field_is_1011_naming_it_and_why(signed_in):
    data = refused(shaped(signed_in, **GOOD, note="too long", lines=[{"n": 1}, {}, 5]), 1011)
    assert set(data) == {"note", "lines.1.n", "lines.2.non_field_errors"}
    assert all(isinstance(reason, str) for reasons in data.values() for reason in reasons)
    assert list(refused(shaped(signed_in, **GOOD, where={"n": "x"}), 1011)) == ["where.n"]
    assert list(refused(shaped(signed_in, **GOOD, where="x"), 1011)) == ["where.non_field_errors"]
    assert list(refused(shaped(signed_in, **GOOD, lines="x"), 1011)) == ["lines.non_field_errors"]


def test_reasons_that_come_as_a_list_are_named_by_their_place(signed_in):
    reasons = refused(shaped(signed_in, **GOOD, lines=[{"n": 0}, {"n": 1}, {"n": 0}]), 1011)
    assert reasons == {"lines.0.n": ["Not zero."], "lines.2.n": ["Not zero."]}
    assert data_of(shaped(signed_in, **GOOD, lines=[{"n": 1}]))["lines"] == [{"n": 1}]


def test_a_field_with_a_code_wins_over_1011(signed_in):
    refused(shaped(signed_in, amount="1", count=0, note="too long"), 3004)


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null", b"true", b"[{}]"])
def test_a_body_that_is_no_object_is_1011(signed_in, body):
    assert list(refused(send(signed_in, "/api/shape", body), 1011)) == ["non_field_errors"]


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"null", b"true", b"[{}]"])
def test_why_it_is_none_is_said_in_the_readers_language(signed_in, body):
    for language in ("en", "zh-hans"):
        response = send(signed_in, "/api/shape", body, headers={"Accept-Language": language})
        with override(language):
            said = gettext("The body has to be a JSON object.")
        assert refused(response, 1011) == {"non_field_errors": [said]}


@pytest.mark.parametrize("odd", [0, -1, 2**63, "7", 7.0, True, None, [], {}, "\u0000"])
def test_what_cannot_be_an_id_reads_as_nothing(signed_in, odd):
    assert data_of(shaped(signed_in, **GOOD, product_id=odd))["product_id"] is None


def test_the_largest_id_is_one(signed_in):
    assert data_of(shaped(signed_in, **GOOD, product_id=2**63 - 1))["product_id"] == 2**63 - 1
    assert data_of(shaped(signed_in, **GOOD))["product_id"] is None


@pytest.mark.parametrize(
    ("text", "identifier"),
    [("7", 7), ("007", 7), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("0", None),
     ("", None), ("-1", None), ("x", None), ("７", None), ("1" * 30, None), ("7\n", None)],
)  # fmt: skip
def test_an_id_in_a_path_is_a_number_that_can_be_one(text, identifier):
    assert read_identifier(text) == identifier


def test_an_id_is_shown_as_it_is():
    assert IdentifierField().to_representation(7) == 7


# --- Refusals -----------------------------------------------------------------------------------
class FullForTests(DomainError):
    code, status, message = 9999, 409, "%(left)s of %(all)s are left, 100 %% sure."
    reveals = {"left": int, "missing": int}


def test_a_refusal_speaks_and_reveals_what_it_names():
    refusal = FullForTests(left=2, all=5, secret="x")
    assert str(refusal) == "2 of 5 are left, 100 % sure."
    assert refusal.data == {"left": 2}
    assert refusal.retry_after is None


def test_a_refusal_without_facts_has_no_data():
    class PlainForTests(DomainError):
        code, status, message = 9998, 409, "100 % gone"

    assert str(PlainForTests()) == "100 % gone"
    assert PlainForTests().data is None


def test_a_failed_validation_names_the_fields():
    refusal = ValidationFailed({"a": ["x"], "b.0": ["y"]})
    assert "a, b.0" in str(refusal)
    assert refusal.data == {"a": ["x"], "b.0": ["y"]}
