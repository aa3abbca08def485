"""Idempotency-Key: one person, path, key and body have one effect and one answer."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.db.models import F
from django.utils import timezone
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.models import PointsEntry, User
from ops.api.idempotency import answer_once
from ops.errors import IdempotencyKeyReused, StillRunning
from ops.models import IdempotencyRecord
from ops.services import idempotency
from ops.services.encryption import encrypt
from ops.tests import probe_views
from ops.tests.databases import elsewhere, on_sqlite, wait_until, waiting_for_a_lock
from tests.api import answer_of, client_of, data_of
from tests.people import make_person
from tests.races import RACERS, race, without_constraint
from tests.refusals import refused

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ops.tests.probe_urls")]


def forgiving_client_of(person):
    """A client that gets the answer to a failure, as one in the field does."""
    return client_of(person, raise_request_exception=False)


@pytest.fixture
def person():
    return make_person()


@pytest.fixture
def api(person):
    return forgiving_client_of(person)


def post(api, key=None, body=None, path="/api/once", **extra):
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post(path, {} if body is None else body, headers=headers, **extra)


def effects():
    return PointsEntry.objects.count()


def raw(api, key, text):
    return api.generic(
        "POST",
        "/api/once",
        text,
        content_type="application/json",
        headers={"Idempotency-Key": key},
    )


# --- The same again -----------------------------------------------------------------------------
def test_without_a_key_every_request_is_a_new_one(api):
    assert [data_of(post(api))["balance"] for _ in range(2)] == [1, 2]
    assert not IdempotencyRecord.objects.exists()


def test_the_same_request_again_gets_the_same_answer_and_has_no_effect(api):
    first = post(api, "k-1", {"points": 5})
    assert "Idempotent-Replay" not in first
    again = post(api, "k-1", {"points": 5})
    assert again["Idempotent-Replay"] == "true"
    assert data_of(again) == data_of(first) == {"balance": 5, "text": "积分 🎲"}
    assert again.content == first.content
    assert effects() == 1
    assert IdempotencyRecord.objects.count() == 1


def test_another_body_is_1014_and_changes_nothing(api):
    post(api, "k-1", {"points": 5})
    assert refused(post(api, "k-1", {"points": 6}), 1014) is None
    assert refused(post(api, "k-1", {}), 1014) is None
    assert effects() == 1
    assert post(api, "k-1", {"points": 5})["Idempotent-Replay"] == "true"


def test_a_key_is_the_persons_and_the_paths_own(api):
    data_of(post(api, "k-1", {"points": 5}))
    other = forgiving_client_of(make_person())
    assert "Idempotent-Replay" not in post(other, "k-1", {"points": 6})
    assert "Idempotent-Replay" not in post(api, "k-1", {"points": 7}, path="/api/once/more")
    assert effects() == 3


def test_keys_are_told_apart_by_every_letter(api):
    for number, key in enumerate(["a", "A", "a.", "á".encode().hex()], start=1):
        assert data_of(post(api, key))["balance"] == number


@pytest.mark.parametrize(
    "path", ["/api/once/" + "x" * 900, "/api/once/%00", "/api/once/%F0%9F%8E%B2"]
)
def test_odd_paths_are_paths(api, path):
    data_of(post(api, "k", path=path))
    assert post(api, "k", path=path)["Idempotent-Replay"] == "true"
    assert effects() == 1


# --- Equal bodies -------------------------------------------------------------------------------
def test_json_is_compared_by_value(api):
    data_of(raw(api, "k", '{"points": 5, "note": {"a": [1, "\\u4e2d"], "b": null}}'))
    again = raw(api, "k", '{"note":{"b":null,"a":[1,"中"]},\n  "points":5}')
    assert again["Idempotent-Replay"] == "true"
    refused(raw(api, "k", '{"note":{"b":null,"a":["中",1]},"points":5}'), 1014)
    refused(raw(api, "k", '{"note":{"b":false,"a":[1,"中"]},"points":5}'), 1014)
    refused(raw(api, "k", '{"note":{"b":null,"a":["1","中"]},"points":5}'), 1014)


@pytest.mark.parametrize(
    "odd",
    ["1" * 40, "1e400", '"\\ud800"', '"\\u0000"', "[" * 20 + "]" * 20, "-0.0", '{"\\ud800": 1}'],
    ids=ascii,
)
def test_a_field_nobody_reads_may_hold_anything(api, odd):
    body = f'{{"points": 5, "odd": {odd}}}'
    data_of(raw(api, "k", body))
    assert raw(api, "k", body)["Idempotent-Replay"] == "true"


def form(api, key, *, content=b"picture", name="a.jpg", **fields):
    file = SimpleUploadedFile(name, content, content_type="image/jpeg")
    return post(api, key, {**fields, "image": file}, format="multipart")


def test_forms_are_compared_by_fields_and_contents(api):
    data_of(form(api, "k", points=5, amount="1.00"))
    again = form(api, "k", amount="1.00", points=5, name="b.jpg")
    assert again["Idempotent-Replay"] == "true"
    refused(form(api, "k", points=5, amount="1.00", content=b"another"), 1014)
    refused(form(api, "k", points=5, amount="1.0"), 1014)
    refused(form(api, "k", points=5), 1014)
    refused(form(api, "k", points=5, amount=["1.00", "1.00"]), 1014)
    refused(post(api, "k", {"points": 5, "amount": "1.00"}), 1014)
    assert effects() == 1


def nothing(request):
    return {}


def ask(person, data, *, effect=nothing, **options):
    """Ask `answer_once` itself, past every view, for an effect with this body under one key."""
    headers = {"Idempotency-Key": "k"}
    asked = APIRequestFactory().post("/api/once", data, headers=headers, **options)
    request = Request(asked, parsers=[JSONParser(), MultiPartParser()])
    request.user = person
    return answer_once(request, partial(effect, request))


def test_a_file_is_read_from_its_beginning_by_the_effect(person):
    def effect(request):
        return {"read": request.data["image"].read().decode()}

    def ask_with_a_file():
        file = SimpleUploadedFile("a", b"picture")
        return ask(person, {"image": file}, effect=effect, format="multipart")

    first, again = ask_with_a_file(), ask_with_a_file()
    assert first.data == again.data == {"read": "picture"}
    assert again["Idempotent-Replay"] == "true"


def test_bodies_of_every_kind_are_told_apart(person):
    """No view of ours takes a list or null; they must not be taken for one another all the same."""

    def is_the_same(first, second):
        IdempotencyRecord.objects.all().delete()
        ask_json = partial(ask, person, content_type="application/json")
        assert "Idempotent-Replay" not in ask_json(first)
        try:
            return ask_json(second)["Idempotent-Replay"] == "true"
        except IdempotencyKeyReused:
            return False

    assert is_the_same('{"a": 1, "b": [1]}', '{"b":[1],"a":1}')
    assert not is_the_same("[1, 2]", "[2, 1]")
    assert not is_the_same("null", "{}")


# --- What frees the key -------------------------------------------------------------------------
def test_a_refusal_frees_the_key_and_changes_nothing(api):
    refused(post(api, "k", {"points": 5}, path="/api/once/nowhere"), 1010)
    assert effects() == 0
    assert not IdempotencyRecord.objects.exists()
    refused(post(api, "k", {"points": 6}, path="/api/once/nowhere"), 1010)  # no 1014


def test_the_refusals_of_a_service_free_the_key(api, person):
    refused(post(api, "k", {"points": -5}), 4005)
    assert not IdempotencyRecord.objects.exists()
    once_more = post(api, "k", {"points": 5})
    assert data_of(once_more)["balance"] == 5
    assert "Idempotent-Replay" not in once_more


def test_a_failure_takes_everything_back_and_frees_the_key(api, person):
    answer = post(api, "k", path="/api/once/broken")
    refused(answer, 1000)
    assert "secret" not in answer.content.decode()
    assert effects() == 0
    assert User.objects.get(pk=person.pk).total_points == 0
    assert not IdempotencyRecord.objects.exists()


def test_a_body_of_a_wrong_shape_leaves_the_key_alone(api):
    refused(post(api, "k", {"points": "x"}), 1011)
    data_of(post(api, "k", {"points": 5}))
    refused(post(api, "k", {"points": "x"}), 1011)  # shape comes before 1014


def test_a_key_counts_for_24_hours(api):
    data_of(post(api, "k", {"points": 5}))
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert post(api, "k", {"points": 5})["Idempotent-Replay"] == "true"
    IdempotencyRecord.objects.update(created_at=F("created_at") - timedelta(minutes=1))
    anew = post(api, "k", {"points": 6})
    assert "Idempotent-Replay" not in anew
    assert data_of(anew)["balance"] == 11
    assert post(api, "k", {"points": 6})["Idempotent-Replay"] == "true"
    refused(post(api, "k", {"points": 5}), 1014)
    assert IdempotencyRecord.objects.count() == 1


def test_a_refusal_after_24_hours_leaves_the_old_record_as_it_was(api):
    data_of(post(api, "k", {"points": 5}))
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    before = IdempotencyRecord.objects.values().get()
    refused(post(api, "k", {"points": -500}), 4005)
    assert IdempotencyRecord.objects.values().get() == before


# --- The header ---------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ["!", "~", "x" * 128, 'a"b\\c', "0191-…".encode().hex()])
def test_a_key_is_visible_ascii(api, key):
    data_of(post(api, key))
    assert post(api, key)["Idempotent-Replay"] == "true"


@pytest.mark.parametrize("key", ["", " ", "a b", "a\tb", "x" * 129, "schlüssel", "\x7f", "a\u00a0"])
def test_any_other_key_is_1011_and_has_no_effect(api, key):
    data = refused(post(api, key), 1011)
    assert list(data) == ["Idempotency-Key"]
    assert effects() == 0


def test_a_deployment_may_require_the_key(api, settings):
    settings.REQUIRE_IDEMPOTENCY_KEY = True
    assert refused(post(api), 1019) is None
    assert effects() == 0
    data_of(post(api, "k"))


# --- At once (PostgreSQL) -----------------------------------------------------------------------
@pytest.fixture
def within_the_effect():
    """Let a function run inside the effect, after its work and before its commit."""

    def use(function):
        probe_views.before_the_end = function

    yield use
    probe_views.before_the_end = None


class Outcome(NamedTuple):
    """What a client learns that asked at the same time as others."""

    code: int
    replay: str | None
    content: bytes


def outcome_in_thread(person):
    """Ask under the one key, from a thread with a connection of its own."""
    with closing(connection):
        response = post(forgiving_client_of(person), "k", {"points": 5})
        return Outcome(
            answer_of(response).code, response.get("Idempotent-Replay"), response.content
        )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_with_one_key_have_one_effect(person):
    outcomes = race([partial(outcome_in_thread, person)] * RACERS)
    assert RACERS == 50
    assert {outcome.code for outcome in outcomes} == {0}
    assert len({outcome.content for outcome in outcomes}) == 1
    assert [outcome.replay for outcome in outcomes].count("true") == 49
    assert effects() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_the_constraint_each_of_them_has_an_effect(person):
    with without_constraint(IdempotencyRecord, "idempotencyrecord_one_effect"):
        outcomes = race([partial(outcome_in_thread, person)] * 8)
        assert [outcome.code for outcome in outcomes] == [0] * 8
        assert effects() == 8


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_twin_waits_for_the_first_and_gets_its_answer(person, within_the_effect):
    at_work, may_end = threading.Event(), threading.Event()

    def hold():
        at_work.set()
        assert may_end.wait(20)

    within_the_effect(hold)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome_in_thread, person)
        assert at_work.wait(20)
        twin = pool.submit(outcome_in_thread, person)
        wait_until(waiting_for_a_lock)
        assert not twin.done()
        may_end.set()
        the_first, the_twin = first.result(20), twin.result(20)
    assert (the_first.code, the_first.replay) == (0, None)
    assert (the_twin.code, the_twin.replay) == (0, "true")
    assert the_twin.content == the_first.content
    assert effects() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_twin_of_a_request_that_fails_does_the_work_itself(person, within_the_effect):
    at_work, may_end = threading.Event(), threading.Event()

    def hold_and_fail():
        if not at_work.is_set():
            at_work.set()
            assert may_end.wait(20)
            raise ZeroDivisionError

    within_the_effect(hold_and_fail)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome_in_thread, person)
        assert at_work.wait(20)
        twin = pool.submit(outcome_in_thread, person)
        wait_until(waiting_for_a_lock)
        may_end.set()
        the_first, the_twin = first.result(20), twin.result(20)
    assert the_first.code == 1000
    assert (the_twin.code, the_twin.replay) == (0, None)
    assert effects() == 1
    assert User.objects.get(pk=person.pk).total_points == 5


def insert(other, person, *, fingerprint=""):
    """What a request on another machine did, that has not yet committed."""
    with other.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ops_idempotencyrecord (owner_id, path, key, fingerprint, answer, "
            "created_at) VALUES (%s, '/api/once', 'k', %s, %s, now())",
            [person.pk, fingerprint, encrypt('{"balance":77}')],
        )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_twin_that_waited_too_long_is_1015(person, api):
    data_of(post(api, "k", {"points": 5}))
    fingerprint = IdempotencyRecord.objects.get().fingerprint
    IdempotencyRecord.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '400ms'")  # for the rest of this connection
    with elsewhere(autocommit=False) as other:
        insert(other, person, fingerprint=fingerprint)
        started = time.monotonic()
        assert refused(post(api, "k", {"points": 5}), 1015) is None
        assert time.monotonic() - started > 0.3
        assert effects() == 1

        other.commit()
        assert data_of(post(api, "k", {"points": 5})) == {"balance": 77}
    assert effects() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_key_is_waited_for_as_long_as_every_row(person, api, within_the_effect):
    """The contract says how long, and one bound for all costs a request no statement."""
    seen = []

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.append(cursor.fetchone()[0])

    within_the_effect(look)
    data_of(post(api, "k"))
    assert seen == ["5s"]
    assert idempotency.TWIN_WAITS == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_another_trouble_of_the_database_is_not_taken_for_a_twin(person, api):
    with elsewhere(autocommit=False) as other:
        insert(other, person)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '200ms'")
        try:
            with pytest.raises(OperationalError, match="statement timeout"):
                idempotency.run_once(
                    owner_id=person.pk, path="/api/once", key="k", fingerprint="", effect=dict
                )
            refused(post(api, "k"), 1503)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET statement_timeout")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_in_between_leaves_nothing(person, api):
    """Its connection ends without a commit: the record goes with the effect, the key is free."""
    with elsewhere(autocommit=False) as other:
        insert(other, person)
        with other.cursor() as cursor:
            cursor.execute("UPDATE accounts_user SET total_points = 77 WHERE id = %s", [person.pk])
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        other.connection.close()
        other.connection = None  # a new one, with nothing to undo
    assert data_of(post(api, "k", {"points": 5})) == {"balance": 5, "text": "积分 🎲"}


# --- SQLite -------------------------------------------------------------------------------------
def test_sqlite_keeps_the_answer_as_well():
    calls = []

    def effect():
        calls.append(1)
        return {"n": len(calls)}

    with on_sqlite(IdempotencyRecord):
        first, again = (
            idempotency.run_once(owner_id=1, path="/", key="k", fingerprint="f", effect=effect)
            for _ in range(2)
        )
    assert (first.data, first.is_replay) == ({"n": 1}, False)
    assert (again.data, again.is_replay) == ({"n": 1}, True)


def test_a_failure_frees_the_key_on_sqlite_at_once():
    def run(effect):
        return idempotency.run_once(owner_id=1, path="/", key="k", fingerprint="f", effect=effect)

    def fail():
        raise ZeroDivisionError

    with on_sqlite(IdempotencyRecord):
        with pytest.raises(ZeroDivisionError):
            run(fail)
        started = time.monotonic()
        assert run(dict).data == {}
    assert time.monotonic() - started < idempotency.TWIN_WAITS


def test_a_twin_on_sqlite_waits_for_the_first_and_no_longer_than_it_may(monkeypatch):
    name: dict[str, Any] = {"owner_id": 1, "path": "/", "key": "k", "fingerprint": "f"}

    def twin():
        with on_sqlite(IdempotencyRecord):
            return idempotency.run_once(**name, effect=lambda: {"by": "the twin"})

    def effect():
        monkeypatch.setattr(idempotency, "TWIN_WAITS", 0.2)
        told = pool.submit(twin)
        assert isinstance(told.exception(20), StillRunning)
        monkeypatch.setattr(idempotency, "TWIN_WAITS", 20)
        waiting.append(pool.submit(twin))
        assert not waiting[0].done()
        return {"by": "the first"}

    waiting: list[Future[Any]] = []
    with ThreadPoolExecutor(2) as pool:
        with on_sqlite(IdempotencyRecord):
            assert idempotency.run_once(**name, effect=effect).data == {"by": "the first"}
        # Its own empty database is all that it found: the turn was given on.
        assert waiting[0].result(20).data == {"by": "the twin"}


def test_an_answer_cannot_be_read_from_a_copy_of_the_database(api):
    data_of(post(api, "k"))
    assert "balance" not in IdempotencyRecord.objects.get().answer


def test_records_are_forgotten_after_their_day(api):
    post(api, "old")
    post(api, "new")
    now = timezone.now()
    IdempotencyRecord.objects.filter(key="old").update(created_at=now - idempotency.KEPT_FOR)

    assert idempotency.forget_expired(now=now) == 1
    assert idempotency.forget_expired(now=now) == 0
    assert [record.key for record in IdempotencyRecord.objects.all()] == ["new"]


def test_a_key_used_anew_while_records_are_forgotten_has_one_effect(api):
    first = data_of(post(api, "k"))
    now = timezone.now()
    IdempotencyRecord.objects.update(created_at=now - idempotency.KEPT_FOR)
    left = [first]

    def use_it_before_it_is_deleted(execute, sql, params, many, context):
        if left and sql.startswith("DELETE"):
            left.clear()
            left_anew.append(data_of(post(api, "k")))
        return execute(sql, params, many, context)

    left_anew: list[dict[str, object]] = []
    with connection.execute_wrapper(use_it_before_it_is_deleted):
        assert idempotency.forget_expired(now=now) == 0

    assert left_anew == [{**first, "balance": first["balance"] + 1}]
    assert data_of(post(api, "k")) == left_anew[0]


def test_a_key_whose_record_is_forgotten_while_it_is_claimed_is_a_new_one(api):
    first = data_of(post(api, "k"))
    now = timezone.now()
    IdempotencyRecord.objects.update(created_at=now - idempotency.KEPT_FOR)
    forgotten: list[int | None] = []

    def forget_it_before_it_is_read(execute, sql, params, many, context):
        if not forgotten and sql.startswith("SELECT") and "ops_idempotencyrecord" in sql:
            forgotten.append(None)
            forgotten[0] = idempotency.forget_expired(now=now)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(forget_it_before_it_is_read):
        anew = post(api, "k")

    assert forgotten == [1]
    assert data_of(anew)["balance"] == first["balance"] + 1
    assert "Idempotent-Replay" not in anew
    assert post(api, "k")["Idempotent-Replay"] == "true"
