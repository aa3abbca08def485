"""Idempotency-Key: one person, path, key and body have one effect and one answer."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.db.models import F
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import PointsEntry, User
from accounts.tests.factories import make_user
from config.tests.answers import data_of, refused
from ops.models import IdempotencyRecord
from ops.services import idempotency
from ops.services.encryption import encrypt
from ops.tests import once
from ops.tests.databases import elsewhere, on_sqlite, wait_until, waiting_for_a_lock

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ops.tests.once")]


def client_of(person):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(person)
    return client


@pytest.fixture
def person():
    return make_user()


@pytest.fixture
def api(person):
    return client_of(person)


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
    other = client_of(make_user())
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


def test_a_file_is_read_from_its_beginning_afterwards(api, monkeypatch):
    file = SimpleUploadedFile("a", b"picture")
    from django.http import QueryDict

    from ops.api.idempotency import _fingerprint

    data: Any = QueryDict(mutable=True)
    data["image"] = file
    assert _fingerprint(data) == _fingerprint(data)
    assert file.read() == b"picture"


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
        once.before_the_end = function

    yield use
    once.before_the_end = None


def in_thread(person, *arguments, **more):
    def run():
        try:
            response = post(client_of(person), *arguments, **more)
            return response.json()["code"], response.get("Idempotent-Replay"), response.content
        finally:
            connection.close()

    return run


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_with_one_key_have_one_effect(person):
    start = threading.Barrier(50)

    def attempt(run):
        start.wait(60)
        return run()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(attempt, [in_thread(person, "k", {"points": 5})] * 50))
    assert {code for code, _replay, _content in answers} == {0}
    assert len({content for _code, _replay, content in answers}) == 1
    assert [replay for _code, replay, _content in answers].count("true") == 49
    assert effects() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_the_constraint_each_of_them_has_an_effect(person, within_the_effect):
    (constraint,) = IdempotencyRecord._meta.constraints
    with connection.schema_editor() as editor:
        editor.remove_constraint(IdempotencyRecord, constraint)
    try:
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(in_thread(person, "k", {"points": 5})) for _ in range(8)]
        assert [future.result()[0] for future in futures] == [0] * 8
        assert effects() == 8
    finally:
        IdempotencyRecord.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(IdempotencyRecord, constraint)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_twin_waits_for_the_first_and_gets_its_answer(person, within_the_effect):
    at_work, may_end = threading.Event(), threading.Event()

    def hold():
        at_work.set()
        assert may_end.wait(20)

    within_the_effect(hold)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread(person, "k", {"points": 5}))
        assert at_work.wait(20)
        twin = pool.submit(in_thread(person, "k", {"points": 5}))
        wait_until(waiting_for_a_lock)
        assert not twin.done()
        may_end.set()
        assert first.result(20)[:2] == (0, None)
        assert twin.result(20)[:2] == (0, "true")
        assert twin.result()[2] == first.result()[2]
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
        first = pool.submit(in_thread(person, "k", {"points": 5}))
        assert at_work.wait(20)
        twin = pool.submit(in_thread(person, "k", {"points": 5}))
        wait_until(waiting_for_a_lock)
        may_end.set()
        assert first.result(20)[0] == 1000
        assert twin.result(20)[:2] == (0, None)
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
def test_a_twin_that_waited_too_long_is_1015(person, api, monkeypatch):
    assert idempotency.TWIN_WAITS == 5
    monkeypatch.setattr(idempotency, "TWIN_WAITS", 0.4)
    data_of(post(api, "k", {"points": 5}))
    fingerprint = IdempotencyRecord.objects.get().fingerprint
    IdempotencyRecord.objects.all().delete()
    with elsewhere(autocommit=False) as other:
        insert(other, person, fingerprint=fingerprint)
        started = time.monotonic()
        assert refused(post(api, "k", {"points": 5}), 1015) is None
        assert 0.3 < time.monotonic() - started < 5
        assert effects() == 1

        other.commit()
        assert data_of(post(api, "k", {"points": 5})) == {"balance": 77}
    assert effects() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_waiting_is_bounded_for_the_key_alone(person, api, within_the_effect):
    """The work itself may wait as long as everywhere."""
    seen = []

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.append(cursor.fetchone()[0])

    within_the_effect(look)
    data_of(post(api, "k"))
    assert seen == ["10s"]


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


def test_bodies_that_say_the_same_have_one_fingerprint():
    from ops.api.idempotency import _fingerprint

    assert _fingerprint({"a": 1, "b": [1]}) == _fingerprint(json.loads('{"b":[1],"a":1}'))
    assert _fingerprint([1, 2]) != _fingerprint([2, 1])
    assert _fingerprint(None) != _fingerprint({})


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
