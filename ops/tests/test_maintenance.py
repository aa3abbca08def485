"""Maintenance: who is refused, who is not, who knows of it, and what is still in hand."""

import json
import logging
import re
from contextlib import closing
from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User
from lottery.tests.factories import make_wheel
from ops.models import IdempotencyRecord, Maintenance, ServingProcess
from ops.models.maintenance import THE_ONE
from ops.services import health, jobs, maintenance
from ops.services.maintenance import OFF, Notice
from ops.services.pulse import beats
from ops.tests.databases import on_sqlite, other_parameters, without_the_queues_table
from tests.api import client_of, data_of, refusal_of
from tests.audit import acting_as, entries_of
from tests.console import console_of, fill_in, refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db
PASSWORD = "s3cret-s3cret"


@pytest.fixture
def staff():
    return make_person(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def on(staff):
    """From now on the platform is being maintained."""
    assert maintenance.turn_on(author_id=staff.pk)


def browser(**headers):
    return Client(headers={"Accept-Language": "en", **headers})


# --- Who is refused -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/shops"),
        ("GET", "/api/config"),
        ("GET", "/api/user/profile"),
        ("POST", "/api/auth/code"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/lottery/draw"),
        ("GET", "/api/nothing/there"),
        ("GET", "/api/schema"),
        ("GET", "/api/healthy"),
    ],
)
def test_the_api_answers_1503_with_the_message(on, django_assert_num_queries, method, path):
    with django_assert_num_queries(0):
        answer = browser().generic(method, path, headers={"X-Request-ID": "of-this-test"})
    refusal = refusal_of(answer)
    assert (refusal.status, refusal.code, refusal.data) == (503, 1503, None)
    assert answer["Retry-After"] == "60"
    assert answer["X-Request-ID"] == "of-this-test"
    assert answer["Cache-Control"] == "no-store"
    said = "The platform is being maintained. Please come back later."
    assert answer.json()["msg"] == said


def test_the_message_is_in_the_language_of_the_client(on):
    english = browser().get("/api/shops").json()["msg"]
    with translation.override("zh-hans"):
        chinese = str(maintenance.current().refusal())
    assert Client().get("/api/shops").json()["msg"] == chinese
    assert english.startswith("The platform")
    # As everywhere in the API no cookie of the console decides it.
    cookie = Client(headers={"Accept-Language": "en"})
    cookie.cookies["django_language"] = "zh-hans"
    assert cookie.get("/api/shops").json()["msg"] == english


def test_what_somebody_wrote_is_read_in_every_language(staff):
    until = timezone.now() + timedelta(minutes=10)
    maintenance.turn_on(message="两点回来。Back at two.", until=until, author_id=staff.pk)
    for client in (browser(), Client()):
        answer = client.get("/api/shops")
        assert answer.json()["msg"] == "两点回来。Back at two."
        assert 590 <= int(answer["Retry-After"]) <= 600


def test_past_its_end_clients_go_on_asking():
    over = Notice(is_on=True, until=timezone.now() - timedelta(hours=1))
    assert over.retry_after == 60


@pytest.mark.parametrize("path", ["/", "/i18n/setlang/", "/files/public/x.png", "/nothing"])
def test_a_page_says_it_in_a_page(on, path):
    answer = browser().get(path)
    assert answer.status_code == 503
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Retry-After"] == "60"
    assert "The platform is being maintained." in answer.content.decode()


def test_a_message_is_text_in_a_page(staff):
    maintenance.turn_on(message="<script>", author_id=staff.pk)
    assert "&lt;script&gt;" in browser().get("/").content.decode()


def test_an_app_on_another_origin_may_read_it(on, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    answer = browser(Origin="https://app.example.com").get("/api/shops")
    assert answer.status_code == 503
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Retry-After" in answer["Access-Control-Expose-Headers"]


def test_a_refused_request_changes_nothing_and_its_key_is_free(staff):
    wheel = make_wheel()
    person = make_person(points=10_000)
    body = {"wheel_id": wheel.pk, "count": 1}
    headers = {"Idempotency-Key": "the-same"}
    client = client_of(person)

    maintenance.turn_on(author_id=staff.pk)
    with refused_unchanged():
        assert refusal_of(client.post("/api/lottery/draw", body, headers=headers)).code == 1503
    assert not IdempotencyRecord.objects.exists()
    maintenance.turn_off(author_id=staff.pk)

    answer = client.post("/api/lottery/draw", body, headers=headers)
    assert data_of(answer)
    assert "Idempotent-Replay" not in answer
    again = client.post("/api/lottery/draw", body, headers=headers)
    assert again["Idempotent-Replay"] == "true"


# --- Who is not -----------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/health", "/api/health"])
def test_health_goes_on(on, path):
    assert Client().get(path).json()["status"] in {"healthy", "unhealthy"}


def test_ready_says_no_and_why(on, staff):
    answer = Client().get("/api/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not ready"
    assert answer.json()["checks"]["maintenance"]["detail"] == "RuntimeError: maintenance is on"
    maintenance.turn_off(author_id=staff.pk)
    assert Client().get("/api/ready").json()["checks"]["maintenance"]["status"] == "ok"


def test_metrics_and_static_files_go_on(on):
    assert Client().get("/metrics").status_code != 503
    with closing(Client().get("/static/start/start.css")) as answer:
        assert (answer.status_code, bool(answer.getvalue())) == (200, True)


def test_requests_of_the_platforms_own_pass_for_a_minute(on, monkeypatch):
    smoke = maintenance.smoke_headers()
    assert Client(headers=smoke).get("/api/shops").status_code == 200
    (header,) = smoke.values()
    changed = {maintenance.SMOKE_HEADER: f"{header[:-1]}{'A' if header[-1] != 'A' else 'B'}"}
    for forged in (changed, {maintenance.SMOKE_HEADER: "smoke"}):
        assert Client(headers=forged).get("/api/shops").status_code == 503
    monkeypatch.setattr(maintenance, "SMOKE_LIFETIME", -1)
    assert Client(headers=smoke).get("/api/shops").status_code == 503


def test_a_smoke_request_made_with_another_secret_is_refused(on, settings):
    smoke = maintenance.smoke_headers()
    settings.SECRET_KEY = "z" * 50
    assert not maintenance.is_smoke(next(iter(smoke.values())))


def test_platform_staff_sign_in_and_work_on_what_is_open(cast):
    cast.staff.set_password(PASSWORD)
    cast.staff.save()
    maintenance.turn_on(author_id=cast.staff.pk)
    console = browser()
    answer = fill_in(console, reverse("admin:login"), username="staff", password=PASSWORD)
    assert answer.status_code == 302
    assert console.get(reverse("admin:index")).status_code == 200
    settings_page = reverse("admin:ops_livesetting_changelist")
    assert console.get(settings_page).status_code == 200
    set_address = reverse("admin:ops_livesetting_set", args=["points.register_bonus"])
    sent = {"shown": "1000", "value": "5"}
    assert console.post(set_address, sent).status_code == 302
    for page in ("admin:ops_processbeat_status", "admin:ops_processbeat_maintenance"):
        assert console.get(reverse(page)).status_code == 200
    assert console.get(reverse("admin:ops_processbeat_changelist")).status_code == 503
    assert console.get(reverse("admin:catalog_product_changelist")).status_code == 503
    assert console.post(reverse("admin:logout")).status_code in {200, 302}


@pytest.mark.parametrize("role", ["owner", "cashier", "auditor"])
def test_nobody_else_of_the_console_gets_in(cast, role):
    person = getattr(cast, role)
    person.set_password(PASSWORD)
    person.save()
    signed_in = console_of(person)
    maintenance.turn_on(author_id=cast.staff.pk)
    for page in ("admin:index", "admin:ops_livesetting_changelist"):
        answer = signed_in.get(reverse(page))
        assert answer.status_code == 503
        assert answer["Retry-After"] == "60"

    console = browser()
    name = person.username or person.phone
    answer = fill_in(console, reverse("admin:login"), username=name, password=PASSWORD)
    assert answer.status_code == 200
    assert "The platform is being maintained." in answer.content.decode()
    assert "_auth_user_id" not in console.session


def test_a_stranger_at_a_page_that_is_open_is_asked_to_sign_in(on):
    answer = browser().get(reverse("admin:ops_livesetting_changelist"))
    assert answer["Location"].startswith(reverse("admin:login"))


# --- Who knows of it ------------------------------------------------------------------------------
def test_while_it_is_off_a_request_asks_nothing_more(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Client().get("/api/nothing").status_code == 404


def test_another_process_knows_with_its_next_beat(staff):
    Maintenance.objects.create(is_on=True, message="Soon")
    assert not maintenance.is_on()
    beat = beats["maintenance"]
    assert (beat.act, beat.every) == (maintenance.keep_up, 2)
    beat.act()
    assert maintenance.current() == Notice(is_on=True, message="Soon")
    Maintenance.objects.update(is_on=False)
    beat.act()
    assert maintenance.current() == OFF


def test_it_is_known_everywhere_within_five_seconds():
    """Each look may take a second: one that had just begun, the wait, and the one that sees it."""
    assert 1 + maintenance.READ_EVERY + 1 <= maintenance.SEEN_BY_ALL_AFTER == 5


def test_a_process_reads_it_before_its_first_answer(monkeypatch):
    Maintenance.objects.create(is_on=True)
    monkeypatch.setattr(maintenance, "_process", maintenance._Process())
    assert Client().get("/api/shops").status_code == 503


@pytest.mark.django_db(transaction=True)
def test_the_first_look_outside_of_a_transaction(monkeypatch):
    Maintenance.objects.create(is_on=True)
    monkeypatch.setattr(maintenance, "_process", maintenance._Process())
    assert maintenance.is_on()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_on", [True, False])
def test_a_process_that_cannot_read_it_keeps_what_it_knew(is_on):
    Maintenance.objects.create(is_on=is_on)
    maintenance.keep_up()
    with other_parameters(port=1, timeout=0.1):
        with pytest.raises(OperationalError):
            maintenance.keep_up()
        assert maintenance.is_on() is is_on
        expected = 503 if is_on else 404
        assert Client().get("/api/nothing").status_code == expected


def test_what_cannot_be_read_at_first_is_off_until_it_can(monkeypatch, caplog):
    process = maintenance._Process()
    monkeypatch.setattr(maintenance, "_process", process)
    with on_sqlite(), caplog.at_level(logging.WARNING, logger=maintenance.__name__):
        assert not maintenance.is_on()  # no table is there
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert not maintenance.is_on()
    assert len(caplog.records) == 1
    Maintenance.objects.create(is_on=True)
    process.read_again_at = 0
    assert maintenance.is_on()


# --- Turning it on and off ------------------------------------------------------------------------
def test_turning_leaves_an_entry_and_does_nothing_twice(staff):
    until = timezone.now() + timedelta(minutes=5)
    with acting_as(staff):
        assert maintenance.turn_on(message="Soon", until=until)
        assert not maintenance.turn_on(message="Soon", until=until)
        assert maintenance.turn_on()
        assert maintenance.turn_off()
        assert not maintenance.turn_off()
    entries = list(entries_of(staff))
    assert [entry.action for entry in entries] == [
        "maintenance.on", "maintenance.on", "maintenance.off"
    ]  # fmt: skip
    assert json.loads(entries[0].after)["message"] == "Soon"
    assert {entry.object_name for entry in entries} == {"ops.maintenance:1"}
    assert str(Maintenance.objects.get()) == "off"


@pytest.mark.django_db(transaction=True)
def test_it_is_known_here_once_it_is_committed(staff):
    with transaction.atomic():
        maintenance.turn_on(author_id=staff.pk)
        assert not maintenance.is_on()
    assert maintenance.is_on()
    with transaction.atomic():
        maintenance.turn_off(author_id=staff.pk)
        transaction.set_rollback(True)
    assert maintenance.is_on()


def test_there_is_one_row():
    Maintenance.objects.create()
    with pytest.raises(IntegrityError), transaction.atomic():
        Maintenance.objects.create(pk=THE_ONE + 1)


# --- What is in hand ------------------------------------------------------------------------------
def test_a_request_is_in_hand_as_long_as_it_runs(monkeypatch, settings):
    seen: list[int] = []
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        f"{__name__}.LookingMiddleware",
    ]
    monkeypatch.setattr(LookingMiddleware, "seen", seen)
    assert Client().get("/api/nothing").status_code == 404
    assert seen == [1]
    assert len(maintenance._process.running) == 0
    with pytest.raises(ZeroDivisionError):
        Client().get("/fails")
    assert len(maintenance._process.running) == 0


def test_who_maintains_is_not_waited_for(staff, monkeypatch, settings):
    seen: list[int] = []
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.LookingMiddleware"]
    monkeypatch.setattr(LookingMiddleware, "seen", seen)
    maintenance.turn_on(author_id=staff.pk)
    Client().get("/health")
    assert seen == [0]


class LookingMiddleware:
    """Notes how many are in hand; fails where it is told to."""

    seen: list[int] = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.seen.append(len(maintenance._process.running))
        if request.path == "/fails":
            return 1 // 0
        return self.get_response(request)


def test_a_process_says_what_it_has_in_hand_while_it_is_on(staff):
    one, two = object(), object()
    maintenance.begin(one)
    maintenance.begin(two)
    maintenance.keep_up()
    assert not ServingProcess.objects.exists(), "while it is off nobody writes"

    maintenance.turn_on(author_id=staff.pk)
    maintenance.keep_up()
    assert maintenance.in_hand() == maintenance.InHand(processes=1, requests=2)
    (name,) = ServingProcess.objects.values_list("name", flat=True)
    assert re.fullmatch(r"[^:]+:\d+:[0-9a-f]{8}", name)
    maintenance.end(one)
    maintenance.end(one)
    maintenance.keep_up()
    assert maintenance.in_hand() == maintenance.InHand(processes=1, requests=1)
    ServingProcess.objects.create(name="other", running=3)
    assert maintenance.in_hand() == maintenance.InHand(processes=2, requests=4)

    Maintenance.objects.update(is_on=False)
    maintenance.keep_up()
    assert [str(row) for row in ServingProcess.objects.all()] == ["other"]


def test_a_process_that_vanished_counts_for_ten_seconds(staff):
    ServingProcess.objects.create(name="killed", running=3)
    assert maintenance.in_hand().requests == 3
    ServingProcess.objects.update(updated_at=timezone.now() - timedelta(seconds=11))
    assert maintenance.in_hand() == maintenance.InHand(processes=0, requests=0)


def test_what_was_said_the_time_before_says_nothing(staff):
    ServingProcess.objects.create(name="killed", running=3)
    maintenance.turn_on(author_id=staff.pk)
    assert not ServingProcess.objects.exists()


def test_a_child_that_was_forked_has_nothing_in_hand(monkeypatch):
    monkeypatch.setattr(maintenance, "_process", maintenance._process)
    monkeypatch.setattr(maintenance, "_lock", maintenance._lock)
    maintenance.begin(object())
    maintenance._begin_anew()
    assert len(maintenance._process.running) == 0
    assert maintenance._process.notice is None


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_say_what_is_in_hand_is_no_answer():
    with without_the_queues_table(), pytest.raises(DatabaseError):
        maintenance.in_hand()


def test_readiness_knows_the_check():
    assert "maintenance" in health.readiness_checks.names()


def test_the_superuser_is_platform_staff():
    person = User.objects.create_superuser("boss", PASSWORD)
    maintenance.turn_on(author_id=person.pk)
    assert console_of(person).get(reverse("admin:index")).status_code == 200


def test_no_job_begins_while_it_is_on(staff):
    assert not jobs.are_paused()

    maintenance.turn_on(author_id=staff.pk)
    assert jobs.are_paused()

    maintenance.turn_off(author_id=staff.pk)
    assert not jobs.are_paused()
