"""Periodic jobs row by row."""

import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ops.models import Alert, AlertRule, Backup, FailedRow
from ops.services import failed_rows
from ops.services.failed_rows import FAILURES, WAITS, do_each
from ops.tests.databases import other_parameters
from tests.races import race

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows():
    return [Backup.objects.create(location=name) for name in ("a", "broken", "c")]


def finish(backup):
    """Work that fails at one row, after it has written something."""
    Backup.objects.filter(pk=backup.pk).update(log="begun")
    if backup.location == "broken":
        raise ZeroDivisionError("a secret of the shop")
    return Backup.objects.filter(pk=backup.pk).update(log="done")


def go_round():
    return do_each("finish", Backup.objects.order_by("pk"), finish, batch_size=10)


def let_the_wait_pass():
    earlier = timezone.now() - WAITS[-1] - timedelta(seconds=1)
    FailedRow.objects.update(last_failed_at=earlier)


def test_a_row_that_fails_stops_no_other_and_leaves_nothing_half_written(rows, caplog):
    assert go_round() == 2

    assert [backup.log for backup in Backup.objects.order_by("pk")] == ["done", "", "done"]
    failed = FailedRow.objects.get()
    assert (failed.job, failed.row_id) == ("finish", str(rows[1].pk))
    assert (failed.failures, failed.error) == (1, "ZeroDivisionError")
    assert f"The job finish failed at row {rows[1].pk}" in caplog.text


@pytest.mark.parametrize(
    ("failures", "minutes"), [(1, 1), (2, 5), (3, 25), (4, 125), (5, 125), (FAILURES - 1, 125)]
)
def test_a_row_that_failed_waits_longer_each_time(rows, failures, minutes):
    go_round()
    due = timezone.now() - timedelta(minutes=minutes)
    FailedRow.objects.update(failures=failures, last_failed_at=due + timedelta(seconds=30))
    go_round()
    assert FailedRow.objects.get().failures == failures

    FailedRow.objects.update(last_failed_at=due)
    go_round()
    assert FailedRow.objects.get().failures == failures + 1


def test_no_row_is_blamed_for_what_is_away_for_less_than_a_day(rows):
    go_round()
    failed, minutes = FailedRow.objects.get(), 0
    while failed.set_aside_at is None:
        minutes += 25
        FailedRow.objects.update(last_failed_at=F("last_failed_at") - timedelta(minutes=25))
        go_round()
        failed.refresh_from_db()

    assert 24 * 60 < minutes < 28 * 60


def test_a_row_that_keeps_failing_is_set_aside_until_somebody_says_so(rows):
    for _round in range(FAILURES):
        go_round()
        let_the_wait_pass()
    assert FailedRow.objects.get().set_aside_at is not None

    go_round()
    assert FailedRow.objects.get().failures == FAILURES

    failed_rows.try_again(FailedRow.objects.get())
    Backup.objects.filter(location="broken").update(location="mended")
    assert go_round() == 3
    assert not FailedRow.objects.exists()


def test_a_row_that_goes_well_again_is_forgotten(rows):
    go_round()
    Backup.objects.filter(location="broken").update(location="mended")
    let_the_wait_pass()
    assert go_round() == 3
    assert not FailedRow.objects.exists()


def test_the_first_rows_failing_do_not_keep_the_later_ones_from_their_turn(rows):
    Backup.objects.filter(location="a").update(location="broken")

    def one_at_a_time():
        return do_each("finish", Backup.objects.order_by("pk"), finish, batch_size=1)

    assert [one_at_a_time() for _round in range(3)] == [0, 0, 1]


def test_however_many_rows_failed_the_question_is_as_short(rows):
    """A list of their ids would grow beyond what a statement may hold: 32,766 on SQLite."""

    def longest_statement():
        with CaptureQueriesContext(connection) as queries:
            assert go_round() == 2
        return max(len(query["sql"]) for query in queries)

    before = longest_statement()
    more = Backup.objects.bulk_create(Backup(location="broken") for _ in range(300))
    FailedRow.objects.bulk_create(FailedRow(job="finish", row_id=one.pk) for one in more)

    assert longest_statement() < before + 300


@pytest.mark.parametrize("failures", [1, FAILURES])
def test_a_row_with_which_there_is_nothing_to_do_any_more_is_forgotten(rows, failures):
    for _round in range(failures):
        go_round()
        let_the_wait_pass()
    FailedRow.objects.create(job="another", row_id=rows[1].pk)

    rows[1].delete()
    assert go_round() == 2

    assert FailedRow.objects.get().job == "another"


def test_a_round_begins_no_more_rows_when_its_time_is_over(rows, monkeypatch):
    """A storage that is away may take minutes to say so, and other jobs wait."""
    monkeypatch.setattr(failed_rows, "ROUND_SECONDS", 0)
    assert go_round() == 1
    assert [backup.log for backup in Backup.objects.order_by("pk")] == ["done", "", ""]


@pytest.mark.django_db(transaction=True)
def test_a_row_whose_commit_fails_was_not_done():
    """A foreign key is looked at when its transaction ends."""
    rule = AlertRule.objects.create(comparison="above", threshold=1)
    alert = Alert.objects.create(rule=rule, value=1)

    def break_the_key(alert):
        return Alert.objects.filter(pk=alert.pk).update(rule_id=alert.rule_id + 1)

    assert do_each("break", Alert.objects.all(), break_the_key, batch_size=1) == 0

    assert FailedRow.objects.get().row_id == str(alert.pk)
    alert.refresh_from_db()
    assert alert.rule_id == rule.pk


# --- Several machines, and a database that goes away --------------------------------------------
def fail_on_two_machines():
    """Both have read the row when the first of them fails at it."""
    Backup.objects.create(location="broken")
    both_have_it = threading.Barrier(2)

    def fail(backup):
        both_have_it.wait(30)
        finish(backup)

    def one_round():
        return do_each("finish", Backup.objects.all(), fail, batch_size=1)

    assert race([one_round] * 2) == [0, 0]
    return FailedRow.objects.get().failures


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_machines_that_fail_in_the_same_round_count_as_one():
    assert fail_on_two_machines() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_the_wait_each_of_them_counts(monkeypatch):
    monkeypatch.setattr(failed_rows, "WAITS", [timedelta(seconds=-1)])
    assert fail_on_two_machines() == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_at_one_row_stops_no_other(rows):
    def break_the_connection(backup):
        if backup.location == "broken":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return finish(backup)

    assert do_each("finish", Backup.objects.order_by("pk"), break_the_connection, batch_size=3) == 2
    assert FailedRow.objects.get().error == "OperationalError"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_no_row_is_blamed(rows):
    def lose_the_database(backup):
        away.enter_context(other_parameters(port=1, timeout=0.3))
        finish(backup)

    with ExitStack() as away, pytest.raises(OperationalError):
        do_each("finish", Backup.objects.order_by("pk"), lose_the_database, batch_size=3)

    assert not FailedRow.objects.exists()
    assert go_round() == 2


def test_what_was_set_aside_is_shown_and_can_be_tried_again(rows, admin_client):
    go_round()
    page = admin_client.get("/admin/ops/failedrow/")
    assert "ZeroDivisionError" in page.content.decode()
    assert "a secret of the shop" not in page.content.decode()

    admin_client.post(
        "/admin/ops/failedrow/",
        {"action": "try_again", "_selected_action": [FailedRow.objects.get().pk]},
    )
    assert not FailedRow.objects.exists()
