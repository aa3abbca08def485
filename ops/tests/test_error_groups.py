"""Errors by kind: captured where they are logged, written later, seen to in the console."""

import gc
import logging
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from config import command_errors
from ops.logs import captured
from ops.logs.captured import ErrorHandler, Waiting, fingerprint, waiting
from ops.logs.counts import counts
from ops.models import AuditEntry, ErrorGroup, ErrorState
from ops.services import error_groups
from ops.services.error_groups import close, write_waiting
from ops.services.pulse import beats
from ops.tests.forks import ends_in_a_fork
from tests.console import console_of, refused_unchanged
from tests.people import make_cast
from tests.races import race

NOW = timezone.now()
logger = logging.getLogger("probe")


@pytest.fixture(autouse=True)
def nothing_waits():
    waiting.take()
    yield
    waiting.take()


def fail(message="no row", kind=LookupError):
    raise kind(message)


def fail_elsewhere():
    fail()


def log_failure(how=fail, *values, by=logger):
    try:
        how(*values)
    except Exception:  # noqa: BLE001  whatever it is
        by.exception("It failed")


def failure_of(how, *values):
    try:
        how(*values)
    except Exception:  # noqa: BLE001  whatever it is
        return sys.exc_info()


# --- Which errors are alike -----------------------------------------------------------------------
def test_one_kind_is_one_type_from_one_place_whatever_it_says():
    assert fingerprint(failure_of(fail, "a")) == fingerprint(failure_of(fail, "b"))
    alike = [
        fingerprint(failure_of(fail, "a")),
        fingerprint(failure_of(fail, "a", KeyError)),
        fingerprint(failure_of(fail_elsewhere)),
    ]
    assert len(set(alike)) == 3


def test_frames_of_libraries_tell_nothing_apart():
    def by_int():
        int("x")

    def through_a_library():
        import orjson

        orjson.loads("{")

    places = [captured._frames(failure_of(how)[2])[-1] for how in (by_int, through_a_library)]
    assert [path for path, _name in places] == ["ops/tests/test_error_groups.py"] * 2


# --- What is kept ---------------------------------------------------------------------------------
@pytest.mark.django_db
def test_an_error_is_written_with_a_sample_and_nothing_of_anybody():
    def sign_in(phone, nickname, code):
        raise ValueError(f"code={code} of {phone}, called {nickname!r}")

    log_failure(sign_in, "13700000001", "Li at home", "482913")
    assert write_waiting() == 1

    group = ErrorGroup.objects.get()
    assert (group.kind, group.count, group.state) == ("ValueError", 1, ErrorState.OPEN)
    assert group.where.startswith("ops/tests/test_error_groups.py:")
    assert group.where.endswith("sign_in")
    assert group.logger == "probe"
    assert "ValueError: code=***" in group.sample
    assert "raise ValueError(" in group.sample, "the source stays readable"
    for value in ("482913", "13700000001", "Li at home"):
        assert value not in group.sample


@pytest.mark.django_db
def test_errors_of_a_kind_are_counted_in_one_row(settings):
    settings.VERSION = "2026.11.1"
    for _time in range(3):
        log_failure()
    assert write_waiting() == 1
    first = ErrorGroup.objects.get()
    log_failure()
    assert write_waiting() == 1
    again = ErrorGroup.objects.get()
    assert (first.count, again.count) == (3, 4)
    assert again.first_seen == first.first_seen
    assert again.last_seen > first.last_seen
    assert again.release == "2026.11.1"
    assert write_waiting() == 0


@pytest.mark.django_db
@pytest.mark.urls("ops.tests.probe_urls")
@pytest.mark.parametrize(
    ("address", "route"),
    [("/api/fail/bug", "/api/fail/<str:how>"), ("/broken", "/broken")],
)
def test_failures_of_requests_are_found_with_their_request_and_its_pattern(api, address, route):
    answer = api.get(address)
    write_waiting()
    group = ErrorGroup.objects.get()
    assert group.kind == "ZeroDivisionError"
    assert group.route == route
    if route.startswith("/api/"):  # a page is answered when its request is over
        assert group.request_id == answer["X-Request-ID"]
    assert "ZeroDivisionError: password=***" in group.sample


@pytest.mark.django_db
def test_refusals_and_lines_without_a_trace_are_none(api):
    api.get("/api/nothing")
    logger.error("Only a line")
    logger.error("Nothing is raised", exc_info=True)  # noqa: LOG014  that is the case
    log_failure(by=logging.getLogger("probe").getChild("quiet"))
    assert write_waiting() == 1


@pytest.mark.django_db
def test_an_error_in_a_transaction_that_is_taken_back_is_kept():
    @transaction.atomic
    def fail_in_a_transaction():
        log_failure()
        assert len(waiting) == 1
        fail()

    with pytest.raises(LookupError):
        fail_in_a_transaction()
    write_waiting()
    assert ErrorGroup.objects.count() == 1


@pytest.mark.django_db
def test_a_command_that_fails_leaves_its_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["manage.py", "logs", "--request", "13700000001"])
    try:
        fail("13700000001")
    except LookupError as error:
        command_errors.note_failure(error)
    command_errors.write_what_waits()
    group = ErrorGroup.objects.get()
    assert (group.kind, group.logger) == ("LookupError", "commands")


def test_every_process_writes_them_again_and_again():
    assert beats["errors"].act is error_groups.write_waiting
    assert beats["errors"].every == 5


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_captures_while_its_parent_does():
    log_failure()

    def has_its_own_alone():
        found = len(waiting)
        log_failure(fail_elsewhere)
        return not found and len(waiting.take()) == 1

    with waiting._lock:
        assert ends_in_a_fork(has_its_own_alone)
    assert len(waiting) == 1


def test_what_a_fork_does_first_leaves_the_errors_to_its_parent():
    theirs = Waiting()
    log_failure()
    theirs.put_back(waiting.take())
    assert len(theirs) == 1
    theirs.begin_anew()
    assert theirs.take() == []


# --- Bounds ---------------------------------------------------------------------------------------
def test_so_many_kinds_wait_and_the_rest_is_counted():
    few = Waiting(most=2)
    record = logger.makeRecord("probe", logging.ERROR, "f", 1, "m", (), None)
    before = counts()
    for kind in (KeyError, ValueError, IndexError, IndexError, KeyError):
        few.add(record, failure_of(fail, "x", kind))
    assert len(few) == 2
    after = counts()
    assert after["errors"] - before["errors"] == 5
    assert after["errors_dropped"] - before["errors_dropped"] == 2
    taken = few.take()
    assert [(error.kind, error.count) for error in taken] == [("KeyError", 2), ("ValueError", 1)]
    few.add(record, failure_of(fail, "x", IndexError))
    few.put_back(taken)
    assert [error.kind for error in few.take()] == ["IndexError", "KeyError"]
    assert counts()["errors_dropped"] - after["errors_dropped"] == 1


def test_what_waits_holds_on_to_nothing_of_the_failure():
    class Large:
        """Something that must not be kept in memory."""

    gone = []

    def with_a_local():
        large = Large()
        import weakref

        gone.append(weakref.ref(large))
        fail()

    captured_here = Waiting()
    record = logger.makeRecord("probe", logging.ERROR, "f", 1, "m", (), None)
    captured_here.add(record, failure_of(with_a_local))
    gc.collect()
    assert len(captured_here) == 1
    assert gone[0]() is None


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def test_an_exception_that_cannot_be_printed_stops_nobody():
    def fail_oddly():
        raise Unprintable

    log_failure(fail_oddly)
    assert len(waiting) == 1


def test_a_handler_that_breaks_raises_nothing_and_counts_it(monkeypatch):
    def broken(*_facts):
        logger.error("It goes round", exc_info=ValueError("again"))
        raise RuntimeError("broken")

    monkeypatch.setattr(captured, "fingerprint", broken)
    before = counts()["errors_dropped"]
    log_failure()
    assert counts()["errors_dropped"] == before + 1
    assert len(waiting) == 0


# --- While the database is away -------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_waits_and_makes_no_errors_of_its_own():
    log_failure()
    log_failure(fail_elsewhere)

    def away(*_statement):
        logging.getLogger("django.db").error("away", exc_info=OperationalError("away"))
        raise OperationalError("away")

    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        write_waiting()
    assert ErrorGroup.objects.count() == 0
    log_failure()
    assert write_waiting() == 2
    assert sorted(ErrorGroup.objects.values_list("count", flat=True)) == [1, 2]


@pytest.mark.django_db
@pytest.mark.parametrize("is_known", [False, True])
def test_one_that_the_database_refuses_is_dropped_and_keeps_no_other_waiting(is_known, caplog):
    log_failure()
    if is_known:
        assert write_waiting() == 1
        log_failure()
    log_failure(fail_elsewhere)
    refused, fine = waiting.take()
    if is_known:
        refused.count = -5  # fewer than none
    else:
        refused.first_seen = refused.last_seen + timedelta(seconds=1)
    waiting.put_back([refused, fine])
    before = counts()["errors_dropped"]

    assert write_waiting() == 1

    assert ErrorGroup.objects.filter(fingerprint=fine.fingerprint).exists()
    assert ErrorGroup.objects.filter(fingerprint=refused.fingerprint).count() == is_known
    assert counts()["errors_dropped"] == before + refused.count
    assert "is dropped" in caplog.text
    assert len(waiting) == 0


@pytest.mark.django_db
def test_what_was_not_seen_for_long_is_forgotten(monkeypatch):
    def seen(days_ago, state):
        then = NOW - timedelta(days=days_ago)
        return ErrorGroup.objects.create(
            fingerprint=f"{days_ago} {state}", kind="k", count=1, first_seen=then, last_seen=then,
            state=state, done_at=then if state == ErrorState.DONE else None,
        )  # fmt: skip

    for days_ago, state in ((91, "done"), (366, "open"), (366, "reopened"), (400, "done")):
        seen(days_ago, state)
    kept = {seen(89, "done"), seen(91, "open"), seen(364, "reopened")}
    monkeypatch.setattr(error_groups, "BATCH_SIZE", 3)
    assert [error_groups.forget_old(now=NOW) for _round in range(3)] == [3, 1, 0]
    assert set(ErrorGroup.objects.all()) == kept


def test_the_handler_rests_in_one_thread_alone():
    with ErrorHandler.rest():
        log_failure()
        thread = threading.Thread(target=log_failure, args=(fail_elsewhere,))
        thread.start()
        thread.join()
    assert len(waiting) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_processes_that_see_it_first_count_it_together():
    log_failure()
    (error,) = waiting.take()
    race([lambda: error_groups._write(error)] * 4)
    assert ErrorGroup.objects.get().count == 4


# --- Done, and again ------------------------------------------------------------------------------
@pytest.fixture
def group(db):
    log_failure()
    write_waiting()
    return ErrorGroup.objects.get()


def test_it_opens_again_when_it_happens_again(group, admin_user):
    close(group, author_id=admin_user.pk)
    group.refresh_from_db()
    assert group.state == ErrorState.DONE
    log_failure()
    write_waiting()
    group.refresh_from_db()
    assert (group.state, group.count) == (ErrorState.REOPENED, 2)


def test_what_happened_before_it_was_done_opens_nothing(group, admin_user):
    log_failure()
    (error,) = waiting.take()
    close(group, author_id=admin_user.pk)
    error.last_seen = error.first_seen = timezone.now() - timedelta(seconds=30)
    waiting.put_back([error])
    write_waiting()
    group.refresh_from_db()
    assert (group.state, group.count) == (ErrorState.DONE, 2)


def test_it_is_done_once_and_audited(group, admin_user):
    close(group, author_id=admin_user.pk)
    close(group, author_id=admin_user.pk)
    entry = AuditEntry.objects.get(object_type="ops.errorgroup")
    assert (entry.action, entry.object_id) == ("errorgroup.close", str(group.pk))
    assert entry.actor_id == admin_user.pk
    assert list(entry.changes) == [("state", "open", "done")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"state": "odd"}, "errorgroup_state_known"),
        ({"count": 0}, "errorgroup_was_seen"),
        ({"first_seen": datetime(2030, 1, 1, tzinfo=UTC)}, "errorgroup_in_order"),
        ({"state": "done"}, "errorgroup_done_at_some_time"),
    ],
)
def test_what_must_never_be_is_refused_by_the_database(fields, constraint):
    now = timezone.now()
    facts = {"fingerprint": "f", "kind": "E", "count": 1, "first_seen": now, "last_seen": now}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ErrorGroup.objects.create(**{**facts, **fields})
    assert not ErrorGroup.objects.exists()


# --- The console ----------------------------------------------------------------------------------
LIST = "/admin/ops/errorgroup/"


def say_done(console, group):
    return console.post(LIST, {"action": "say_done", "_selected_action": [group.pk]})


def test_platform_staff_look_at_errors_and_say_that_they_are_done(group):
    console = console_of(make_cast().staff)
    assert "LookupError" in console.get(LIST).content.decode()
    page = console.get(f"{LIST}{group.pk}/change/").content.decode()
    assert "<pre" in page
    assert "LookupError: no row" in page
    assert say_done(console, group).status_code == 302
    group.refresh_from_db()
    assert group.state == ErrorState.DONE


@pytest.mark.parametrize("who", ["auditor", "owner", "manager", "cashier"])
def test_nobody_else_says_so(group, who):
    person = getattr(make_cast(), who)
    console = console_of(person)
    assert (console.get(LIST).status_code == 200) == (who == "auditor")
    with refused_unchanged():
        say_done(console, group)


@pytest.mark.django_db
def test_what_no_database_takes_is_left_out_of_the_sample():
    log_failure(fail, "a\x00b")

    assert write_waiting() == 1
    assert "\x00" not in ErrorGroup.objects.get().sample
