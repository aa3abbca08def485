"""Periodic jobs row by row."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ops.models import Backup, FailedRow
from ops.services import failed_rows
from ops.services.failed_rows import FAILURES, WAITS, do_each

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
    earlier = timezone.now() - WAITS - timedelta(seconds=1)
    FailedRow.objects.update(last_failed_at=earlier)


def test_a_row_that_fails_stops_no_other_and_leaves_nothing_half_written(rows, caplog):
    assert go_round() == 2

    assert [backup.log for backup in Backup.objects.order_by("pk")] == ["done", "", "done"]
    failed = FailedRow.objects.get()
    assert (failed.job, failed.row_id) == ("finish", str(rows[1].pk))
    assert (failed.failures, failed.error) == (1, "ZeroDivisionError")
    assert f"The job finish failed at row {rows[1].pk}" in caplog.text


def test_a_row_that_failed_waits_a_minute(rows):
    go_round()
    go_round()
    assert FailedRow.objects.get().failures == 1

    let_the_wait_pass()
    go_round()
    assert FailedRow.objects.get().failures == 2


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
