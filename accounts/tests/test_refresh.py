"""POST /api/auth/refresh: rotation, the lost answer, and theft."""

import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import jwt
import pytest
from django.conf import settings as configured
from django.db import connection
from django.db.models import F
from django.utils import timezone
from jwt.utils import base64url_encode

from accounts.errors import RefreshTokenReused
from accounts.models import DeviceSession, UserStatus
from accounts.services import sign_in as service
from accounts.services.sign_in import change_status, refresh
from accounts.tests.factories import make_sign_in
from ops.errors import NotSignedIn
from ops.services import key_ring
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock
from tests.api import data_of, refusal_of
from tests.keys import NEW, OLD, claims_of, sign, sign_as_before
from tests.people import make_person
from tests.races import kinds, race

pytestmark = pytest.mark.django_db


def exchange(api, token):
    return api.post("/api/auth/refresh", {"refresh_token": token}, format="json")


def verify(api, access_token):
    return api.get("/api/auth/verify", headers={"Authorization": f"Bearer {access_token}"})


def let_time_pass_since_the_rotation(seconds=10):
    DeviceSession.objects.update(rotated_at=F("rotated_at") - timedelta(seconds=seconds))


def test_a_refresh_gives_a_new_pair(api):
    old = make_sign_in().pair
    new = data_of(exchange(api, old.refresh_token))
    assert set(new) == {"access_token", "refresh_token", "expires_in"}
    assert new["expires_in"] == 7200
    assert new["refresh_token"] != old.refresh_token
    assert new["access_token"] != old.access_token
    data_of(verify(api, new["access_token"]))
    session = DeviceSession.objects.get()
    assert session.generation == 1
    assert session.expires_at - session.rotated_at == timedelta(days=30)


def test_the_tokens_say_how_long_they_live(api):
    new = data_of(exchange(api, make_sign_in().pair.refresh_token))
    access = claims_of(new["access_token"])
    refreshing = claims_of(new["refresh_token"])
    assert access["exp"] - access["iat"] == 7200
    assert refreshing["exp"] - refreshing["iat"] == 30 * 86400


def test_the_chain_goes_on(api):
    token = make_sign_in().pair.refresh_token
    for generation in range(1, 4):
        token = data_of(exchange(api, token))["refresh_token"]
        assert DeviceSession.objects.get().generation == generation


def test_a_lost_answer_is_given_again_byte_for_byte(api):
    old = make_sign_in().pair.refresh_token
    first = exchange(api, old)
    again = exchange(api, old)
    assert again.content == first.content
    # The pair follows from rotated_at; its window must still be open.
    let_time_pass_since_the_rotation(9)
    data_of(exchange(api, old))
    assert DeviceSession.objects.get().generation == 1


def test_the_old_token_after_the_new_one_was_used_ends_the_session(api):
    old = make_sign_in().pair
    second = data_of(exchange(api, old.refresh_token))
    third = data_of(exchange(api, second["refresh_token"]))
    assert refusal_of(exchange(api, old.refresh_token)) == (401, 1007, None)
    assert refusal_of(verify(api, third["access_token"])) == (401, 1006, None)
    assert refusal_of(verify(api, old.access_token)) == (401, 1006, None)
    assert refusal_of(exchange(api, third["refresh_token"])) == (401, 1006, None)
    assert refusal_of(exchange(api, old.refresh_token)) == (401, 1006, None)
    assert DeviceSession.objects.get().revoked_at


def test_the_old_token_ten_seconds_later_ends_the_session(api):
    old = make_sign_in().pair.refresh_token
    new = data_of(exchange(api, old))
    let_time_pass_since_the_rotation(10)
    assert refusal_of(exchange(api, old)) == (401, 1007, None)
    assert refusal_of(verify(api, new["access_token"])) == (401, 1006, None)


def test_a_theft_ends_no_other_session_of_the_person(api):
    person = make_person()
    stolen, other = make_sign_in(person).pair, make_sign_in(person).pair
    exchange(api, stolen.refresh_token)
    let_time_pass_since_the_rotation()
    assert refusal_of(exchange(api, stolen.refresh_token)) == (401, 1007, None)
    data_of(verify(api, other.access_token))
    data_of(exchange(api, other.refresh_token))


def test_a_refresh_ignores_the_header(api):
    pair = make_sign_in().pair
    api.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    data_of(exchange(api, pair.refresh_token))


def test_refreshing_a_closed_account_is_1005(api):
    signed_in = make_sign_in()
    change_status(person=signed_in.person, status=UserStatus.BANNED)
    assert refusal_of(exchange(api, signed_in.pair.refresh_token)) == (403, 1005, None)


def test_refreshing_after_a_logout_is_1006(api):
    signed_in = make_sign_in()
    service.sign_out(signed_in.session)
    assert refusal_of(exchange(api, signed_in.pair.refresh_token)) == (401, 1006, None)


def test_a_session_that_is_gone_is_1006(api):
    pair = make_sign_in().pair
    DeviceSession.objects.all().delete()
    assert refusal_of(exchange(api, pair.refresh_token)) == (401, 1006, None)
    assert refusal_of(verify(api, pair.access_token)) == (401, 1006, None)


# --- Keys ---------------------------------------------------------------------------------------
def key_named_by(token):
    return jwt.get_unverified_header(token)["kid"]


def test_tokens_name_the_newest_key_and_stay_good_under_an_older_one(api, settings):
    settings.TOKEN_KEYS = [OLD]
    old = make_sign_in().pair
    settings.TOKEN_KEYS = [NEW, OLD]
    data_of(verify(api, old.access_token))
    new = data_of(exchange(api, old.refresh_token))
    newest, older = key_ring.keys("token")
    assert key_named_by(old.refresh_token) == older.id
    assert {key_named_by(new["access_token"]), key_named_by(new["refresh_token"])} == {newest.id}
    data_of(verify(api, old.access_token))
    settings.TOKEN_KEYS = [NEW]
    assert refusal_of(verify(api, old.access_token)) == (401, 1006, None)
    data_of(verify(api, new["access_token"]))


def of_an_older_version(pair, **fields):
    """What the tokens of a pair said before they named their issuer; their session is as old."""
    DeviceSession.objects.update(takes_unnamed=True, **fields)
    return (
        {name: value for name, value in claims_of(token).items() if name not in {"iss", "aud"}}
        for token in (pair.access_token, pair.refresh_token)
    )


def test_tokens_signed_before_there_was_a_ring_stay_good_until_they_expire(api, settings):
    """Under SECRET_KEY, without the name of a key, from a session that knows none."""
    access, refreshing = of_an_older_version(make_sign_in().pair, key_id="")
    data_of(verify(api, sign_as_before(access)))
    expired = sign_as_before({**access, "exp": access["iat"] - 1})
    assert refusal_of(verify(api, expired)) == (401, 1006, None)
    new = data_of(exchange(api, sign_as_before(refreshing)))
    assert key_named_by(new["access_token"]) == key_ring.newest("token").id
    data_of(verify(api, sign_as_before(access)))


def test_tokens_signed_before_they_named_their_issuer_stay_good_until_they_expire(api):
    access, refreshing = of_an_older_version(make_sign_in().pair)
    data_of(verify(api, sign(access)))
    expired = sign({**access, "exp": access["iat"] - 1})
    assert refusal_of(verify(api, expired)) == (401, 1006, None)
    new = data_of(exchange(api, sign(refreshing)))
    assert (claims_of(new["access_token"])["iss"], claims_of(new["access_token"])["aud"]) == (
        "points",
        "points-api",
    )
    data_of(verify(api, new["access_token"]))
    data_of(verify(api, sign(access)))  # the other tab of the browser has it for two hours yet
    half = sign({**access, "iss": "points"})
    assert refusal_of(verify(api, half)) == (401, 1006, None)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_sign_in_of_this_version_takes_no_token_without_an_issuer(api, kind):
    pair = make_sign_in().pair
    claims = claims_of(getattr(pair, f"{kind}_token"))
    unnamed = sign({name: claims[name] for name in claims if name not in {"iss", "aud"}})
    ask = verify if kind == "access" else exchange
    assert refusal_of(ask(api, unnamed)) == (401, 1006, None)
    assert DeviceSession.objects.get().generation == 0
    data_of(verify(api, pair.access_token))


def test_a_row_that_the_version_before_writes_takes_its_tokens():
    """Also while processes of both run: of the column it says nothing."""
    session = make_sign_in().session
    assert not DeviceSession.objects.get(pk=session.pk).takes_unnamed
    table = DeviceSession._meta.db_table
    columns = (
        "user_id, generation, rotated_at, user_agent, created_at, last_activity_at, expires_at"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) "  # noqa: S608
            f"SELECT {columns} FROM {table} WHERE id = %s",
            [session.pk],
        )
    assert DeviceSession.objects.exclude(pk=session.pk).get().takes_unnamed


def test_a_lost_answer_is_given_again_byte_for_byte_after_the_key_was_replaced(api, settings):
    settings.TOKEN_KEYS = [OLD]
    old = make_sign_in().pair.refresh_token
    first = exchange(api, old)
    settings.TOKEN_KEYS = [NEW, OLD]
    assert exchange(api, old).content == first.content
    data_of(verify(api, data_of(first)["access_token"]))


def test_a_lost_answer_whose_key_is_gone_is_signed_anew(api, settings):
    """Their owner's own old token is gone with the key; one of the version before is not."""
    _access, refreshing = of_an_older_version(make_sign_in().pair)
    old = sign_as_before(refreshing)
    first = data_of(exchange(api, old))
    settings.TOKEN_KEYS = [NEW]
    again = data_of(exchange(api, old))
    assert claims_of(again["access_token"]) == claims_of(first["access_token"])
    data_of(verify(api, again["access_token"]))


# --- What is no token ---------------------------------------------------------------------------
def with_header(header, claims, secret):
    """A token as PyJWT would not make it, well signed."""
    parts = [base64url_encode(json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), "sha256")
    return b".".join([*parts, base64url_encode(signature)]).decode()


def forged(pair, kind):
    """Tokens that look like a good one and are none, by name."""
    good = getattr(pair, f"{kind}_token")
    claims = claims_of(good)
    head, body, signature = good.split(".")
    newest = key_ring.newest("token")

    other = "refresh" if kind == "access" else "access"

    def signed(key=newest.secret, algorithm="HS256", kid=newest.id, **changes):
        return jwt.encode({**claims, **changes}, key, algorithm=algorithm, headers={"kid": kid})

    def raw(**changes):
        header = {"alg": "HS256", "kid": newest.id}
        return with_header(header, {**claims, **changes}, newest.secret)

    def without(name):
        return sign({key: value for key, value in claims.items() if key != name})

    return {
        "expired": signed(exp=claims["iat"] - 1),
        "wrong key": signed(key="x" * 48),
        "another algorithm": signed(algorithm="HS512"),
        "algorithm none": signed(key="", algorithm="none"),
        "algorithm none under a signature": with_header(
            {"alg": "none", "kid": newest.id}, claims, newest.secret
        ),
        "signed as text, said to be RS256": with_header(
            {"alg": "RS256", "kid": newest.id}, claims, newest.secret
        ),
        "no algorithm": with_header({"kid": newest.id}, claims, newest.secret),
        "unknown key": signed(kid="000000000000"),
        "key of another purpose": sign(claims, key_ring.newest("field")),
        "key of another purpose, by name": sign(claims, kid=key_ring.newest("field").id),
        "no name of its key": jwt.encode(claims, newest.secret, algorithm="HS256"),
        "the old key under a new name": signed(key=configured.SECRET_KEY),
        "the old key under no key's name": signed(key=configured.SECRET_KEY, kid="000000000000"),
        "a name that is no text": with_header({"alg": "HS256", "kid": 7}, claims, newest.secret),
        "signature cut": f"{head}.{body}.",
        "signature changed": f"{head}.{body}.{signature[::-1]}",
        "without a session": without("sid"),
        "without a person": without("user_id"),
        "without a type": without("token_type"),
        "without an end": without("exp"),
        "without an issuer": without("iss"),
        "without an audience": without("aud"),
        "without an id": without("jti"),
        "without a generation": without("gen"),
        "another issuer": signed(iss="pointz"),
        "issuer in capitals": signed(iss="POINTS"),
        "issuer is a list": raw(iss=["points"]),
        "issuer is null": raw(iss=None),
        "another audience": signed(aud="points-admin"),
        "audience is a list": signed(aud=["points-api", "points-admin"]),
        "audience is null": raw(aud=None),
        "id of another generation": signed(jti=f"{kind}-{claims['sid']}-99"),
        "id of the other type": signed(jti=claims["jti"].replace(kind, other)),
        "id is a number": raw(jti=7),
        "type is null": signed(token_type=None),
        "type in capitals": signed(token_type=kind.upper()),
        "end is a text": signed(exp="never"),
        "session is a text": signed(sid="x"),
        "session is another one": signed(sid=claims["sid"] + 1),
        "session is null": signed(sid=None),
        "person is null": signed(user_id=None),
        "generation is null": signed(gen=None),
        "of another person": signed(user_id="999999"),
        "the other type": getattr(pair, f"{other}_token"),
        "garbage": "garbage",
        "dots": "..",
        "full width": "ａ.ｂ.ｃ",
        "very long": "a" * 5000,
    }


NAMES = [
    "expired",
    "wrong key",
    "another algorithm",
    "algorithm none",
    "algorithm none under a signature",
    "signed as text, said to be RS256",
    "no algorithm",
    "unknown key",
    "key of another purpose",
    "key of another purpose, by name",
    "no name of its key",
    "the old key under a new name",
    "the old key under no key's name",
    "a name that is no text",
    "signature cut",
    "signature changed",
    "without a session",
    "without a person",
    "without a type",
    "without an end",
    "without an issuer",
    "without an audience",
    "without an id",
    "without a generation",
    "another issuer",
    "issuer in capitals",
    "issuer is a list",
    "issuer is null",
    "another audience",
    "audience is a list",
    "audience is null",
    "id of another generation",
    "id of the other type",
    "id is a number",
    "type is null",
    "type in capitals",
    "end is a text",
    "session is a text",
    "session is another one",
    "session is null",
    "person is null",
    "generation is null",
    "of another person",
    "the other type",
    "garbage",
    "dots",
    "full width",
    "very long",
]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_refresh_token_is_1006_and_ends_nothing(api, name):
    pair = make_sign_in().pair
    assert refusal_of(exchange(api, forged(pair, "refresh")[name])) == (401, 1006, None)
    data_of(exchange(api, pair.refresh_token))


@pytest.mark.parametrize("token", ["", None, 5, True, [], {}, "\u0000"], ids=ascii)
def test_what_is_no_text_is_1006(api, token):
    assert refusal_of(exchange(api, token)) == (401, 1006, None)


def test_a_missing_refresh_token_is_1006(api):
    assert refusal_of(api.post("/api/auth/refresh", {}, format="json")) == (401, 1006, None)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "full width"])
def test_what_is_no_access_token_is_1006(api, name):
    pair = make_sign_in().pair
    assert refusal_of(verify(api, forged(pair, "access")[name])) == (401, 1006, None)
    data_of(verify(api, pair.access_token))


def test_what_is_signed_by_hand_is_as_good_as_what_pyjwt_signs(api):
    """Else the forged ones could be refused for how they are written."""
    claims = claims_of(make_sign_in().pair.access_token)
    newest = key_ring.newest("token")
    header = {"alg": "HS256", "kid": newest.id}
    data_of(verify(api, with_header(header, claims, newest.secret)))


def test_the_names_are_all_there_are():
    assert list(forged(make_sign_in().pair, "access")) == NAMES


# --- At once ------------------------------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_hundred_refreshing_at_once_get_the_same_pair():
    pair = make_sign_in().pair
    (answer,) = set(race([partial(refresh, pair.refresh_token)] * 100))
    assert answer.refresh_token != pair.refresh_token
    session = DeviceSession.objects.get()
    assert session.generation == 1
    assert session.revoked_at is None


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_hundred_refreshing_at_once_with_a_stolen_token_end_its_session_once():
    stolen = make_sign_in().pair.refresh_token
    kept = make_sign_in(make_person()).session
    refresh(refresh(stolen).refresh_token)
    outcomes = kinds(race([partial(refresh, stolen)] * 100))
    # Who comes after the end finds the session ended.
    assert set(outcomes) <= {RefreshTokenReused, NotSignedIn}
    assert outcomes[RefreshTokenReused] >= 1
    assert DeviceSession.objects.get(revoked_at=None).pk == kept.pk
    assert DeviceSession.objects.exclude(pk=kept.pk).get().generation == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_meets_the_end_of_its_session_is_1006():
    """The session was alive when it was read, and is revoked when the rotation gets its row."""
    signed_in = make_sign_in()

    with elsewhere(autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        with other.cursor() as cursor:
            cursor.execute("UPDATE accounts_devicesession SET revoked_at = now()")
        meeting = pool.submit(race, [partial(refresh, signed_in.pair.refresh_token)])
        wait_until(waiting_for_a_lock)
        other.commit()
        assert kinds(meeting.result(10)) == {NotSignedIn: 1}
    assert DeviceSession.objects.get().generation == 0


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_condition_each_makes_a_pair_of_its_own():
    """The same rotation as read, add, write: all of them believe they were first."""
    signed_in = make_sign_in()
    everybody_has_read = threading.Barrier(4)

    def attempt():
        session = DeviceSession.objects.get(pk=signed_in.session.pk)
        everybody_has_read.wait(30)
        session.generation += 1
        session.rotated_at = timezone.now()
        session.save(update_fields=["generation", "rotated_at"])
        return session.rotated_at

    outcomes = race([attempt] * 4)
    assert kinds(outcomes) == {datetime: 4}
    assert len(set(outcomes)) == 4
