"""Nothing that was acknowledged is lost by killing the process at any time, or by an update."""

import signal
import time

import pytest

from reviews.tests.slips import make_slip
from tests.engines import BOTH
from tests.live import platform

pytestmark = pytest.mark.story

CUSTOMER = "13800138001"
FINISHED_WITHIN = 60  # seconds, on a busy machine and with a model that loads anew


# Nothing but that task can bring the receipt on: no lease runs out, and the sweep waits.
AS_AN_EARLIER_VERSION_QUEUED_IT = """
from django_tasks_db.models import DBTaskResult
from reviews.models import ProcessRecord
ProcessRecord.objects.update(status="pending", attempts=0, lease_until=None, finished_at=None)
DBTaskResult.objects.update(status="READY", task_path="reviews.services.reading.read_receipt")
"""


def history_once_completed(customer):
    """The person's uploads, once all of them are read."""
    deadline = time.monotonic() + FINISHED_WITHIN
    while time.monotonic() < deadline:
        history = customer.get("/api/photo/history")["items"]
        if {item["task"]["status"] for item in history} == {"completed"}:
            break
        time.sleep(0.2)
    return history


@pytest.mark.parametrize("engine", BOTH)
def test_a_server_killed_while_reading_finishes_after_its_restart(tmp_path, engine):
    impatient = {
        "READING_LEASE_SECONDS": "2",
        "READING_QUEUED_TOO_LONG_SECONDS": "2",
        "JOB_LEASE_SECONDS": "2",
        "TASK_ENGINE": engine,
    }
    with platform(tmp_path, **impatient) as running:
        customer = running.sign_in(CUSTOMER)
        uploads = [
            customer.upload(make_slip(total="66.00", number=f"2026112200{number}"), "66")
            for number in range(3)
        ]
        drawn = customer.post("/api/lottery/draw", {"count": 3})
        running.stop(signal.SIGKILL)

        running.start()
        history = history_once_completed(customer)
        assert {item["upload_id"] for item in history} == {one["upload_id"] for one in uploads}
        assert {item["recognized_amount"] for item in history} == {"66.00"}
        assert customer.get("/api/user/profile")["points_version"] == drawn["points_version"]
        integrity = running.manage("check_integrity")
        assert integrity.returncode == 0, integrity.stdout + integrity.stderr
        assert running.stop() == 0


def test_a_server_goes_on_with_the_names_of_an_earlier_version(tmp_path):
    """A setting that names the reader as before, and a task that was queued before the update."""
    never_queued_again = {"READING_QUEUED_TOO_LONG_SECONDS": "600"}
    old_name = {"RECEIPT_READER": "reviews.reading.engine.RapidReceiptReader"}
    with platform(tmp_path, **old_name, **never_queued_again) as running:
        customer = running.sign_in(CUSTOMER)
        customer.upload(make_slip(total="66.00"), "66")
        running.stop(signal.SIGKILL)
        shell = running.manage("shell", "-c", AS_AN_EARLIER_VERSION_QUEUED_IT)
        assert shell.returncode == 0, shell.stderr

        running.start()
        (upload,) = history_once_completed(customer)
        assert upload["recognized_amount"] == "66.00"
        assert upload["task"]["model_name"].startswith("rapidocr")
