"""Who is asking: verify, logout, closed accounts, and the order in which they are refused."""

from datetime import datetime, timedelta

import jwt
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import DeviceSession, UserStatus
from accounts.services import sign_in as service
from accounts.services.sign_in import change_status
from accounts.tests.factories import make_sign_in, sign_in
from tests.api import answer_of, data_of, refusal_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db


def test_verify_says_until_when_and_whose(api):
    signed_in = sign_in(api)
    answer = data_of(api.get("/api/auth/verify"))
    assert set(answer) == {"valid", "expires_at", "user_info"}
    assert answer["valid"] is True
    assert answer["user_info"]["user_id"] == signed_in.person.pk
    assert answer["expires_at"].endswith("+08:00")
    claims = jwt.decode(signed_in.pair.access_token, options={"verify_signature": False})
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == claims["exp"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic YTpi",
        "Token abc",
        "abc",
        "Bearer a b",
        "Bearer é",
    ],
)
def test_a_header_that_is_no_bearer_token_is_1006(api, header):
    response = api.get("/api/auth/verify", headers={"Authorization": header})
    assert refusal_of(response) == (401, 1006, None)


def test_no_header_is_1006(api):
    assert refusal_of(api.get("/api/auth/verify")) == (401, 1006, None)
    assert refusal_of(api.get("/api/user/profile")) == (401, 1006, None)
    assert refusal_of(api.post("/api/auth/logout")) == (401, 1006, None)


def test_the_scheme_is_read_in_any_case(api):
    token = make_sign_in().pair.access_token
    data_of(api.get("/api/auth/verify", headers={"Authorization": f"bearer {token}"}))


def test_asking_who_it_is_takes_one_query(api):
    sign_in(api)
    with CaptureQueriesContext(connection) as queries:
        data_of(api.get("/api/user/points"))
    assert len(queries) == 2  # the session with its person, and the page


# --- Signing out --------------------------------------------------------------------------------
def test_logout_ends_this_sign_in_alone(api):
    person = make_person()
    here, there = sign_in(api, person), make_sign_in(person)
    assert data_of(api.post("/api/auth/logout")) is None
    assert refusal_of(api.get("/api/auth/verify")) == (401, 1006, None)
    response = api.post("/api/auth/refresh", {"refresh_token": here.pair.refresh_token})
    assert refusal_of(response) == (401, 1006, None)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {there.pair.access_token}")
    data_of(api.get("/api/auth/verify"))


def test_logout_everywhere_ends_all_of_this_person(api):
    person, other = make_person(), make_sign_in()
    sign_in(api, person)
    there = make_sign_in(person)
    assert data_of(api.post("/api/auth/logout", {"everywhere": True})) is None
    for pair, code in ((there.pair, 1006), (other.pair, 0)):
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access_token}")
        assert answer_of(api.get("/api/auth/verify")).code == code
    assert DeviceSession.objects.filter(revoked_at=None).get().user == other.person


@pytest.mark.parametrize("body", [{}, {"everywhere": False}])
def test_without_everywhere_the_others_stay(api, body):
    person = make_person()
    sign_in(api, person)
    there = make_sign_in(person)
    assert data_of(api.post("/api/auth/logout", body)) is None
    assert DeviceSession.objects.filter(revoked_at=None).get() == there.session


@pytest.mark.parametrize(
    "everywhere", [None, "true", "false", "yes", "", 1, 0, 1.0, [], [True], {}]
)
@pytest.mark.parametrize(
    ("language", "reasons"),
    [
        ("en", {"Must be a valid boolean.", "This field may not be null."}),
        ("zh", {"必须是有效的布尔值。", "该字段不能为 null。"}),
    ],
)
def test_everywhere_is_true_or_false_and_nothing_else(api, everywhere, language, reasons):
    person = make_person()
    sign_in(api, person)
    make_sign_in(person)
    headers = {"Accept-Language": language}
    response = api.post("/api/auth/logout", {"everywhere": everywhere}, headers=headers)
    data = refused(response, 1011)
    assert list(data) == ["everywhere"]
    assert set(data["everywhere"]) <= reasons
    assert DeviceSession.objects.filter(revoked_at=None).count() == 2


def test_logout_everywhere_ends_all_or_none(api):
    """Else this sign-in could be the first to end, and nobody left to ask for the others."""
    person = make_person()
    sign_in(api, person)
    make_sign_in(person)
    ended = []

    def fail_at_the_second(execute, sql, parameters, *more):
        if sql.startswith("UPDATE") and DeviceSession._meta.db_table in sql:
            ended.append(sql)
            if len(ended) == 2:
                raise OperationalError
        return execute(sql, parameters, *more)

    with connection.execute_wrapper(fail_at_the_second):
        refused(api.post("/api/auth/logout", {"everywhere": True}), 1503)

    assert len(ended) == 2
    assert DeviceSession.objects.filter(revoked_at=None).count() == 2


def test_a_session_is_revoked_at_its_first_end():
    session = make_sign_in().session
    service.revoke(session)
    first = DeviceSession.objects.get().revoked_at
    service.revoke(session)
    assert DeviceSession.objects.get().revoked_at == first


# --- Closed accounts ----------------------------------------------------------------------------
@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
def test_the_tokens_of_a_closed_account_are_1005(api, status):
    signed_in = sign_in(api)
    change_status(person=signed_in.person, status=status)
    assert refusal_of(api.get("/api/auth/verify")) == (403, 1005, None)
    assert refusal_of(api.get("/api/user/points")) == (403, 1005, None)


def test_opening_an_account_again_brings_no_session_back(api):
    signed_in = sign_in(api)
    change_status(person=signed_in.person, status=UserStatus.BANNED)
    change_status(person=signed_in.person, status=UserStatus.ACTIVE)
    assert refusal_of(api.get("/api/auth/verify")) == (401, 1006, None)
    sign_in(api, signed_in.person)
    data_of(api.get("/api/auth/verify"))


def test_closing_one_account_closes_no_other(api):
    sign_in(api)
    change_status(person=make_sign_in().person, status=UserStatus.BANNED)
    data_of(api.get("/api/auth/verify"))


def test_a_session_knows_where_it_comes_from():
    long = "x" * 300
    session = make_sign_in(address="::1", user_agent=long).session
    assert session.ip_address == "::1"
    assert session.user_agent == "x" * 255
    assert timezone.now() - session.last_activity_at < timedelta(minutes=1)
    assert str(session).startswith(f"{session.user_id} xxx")
