"""Nothing that was acknowledged is lost by killing the process at any time."""

import signal
import time

import pytest

from reviews.tests.slips import make_slip
from tests.live import platform

pytestmark = pytest.mark.story

CUSTOMER = "13800138001"
FINISHED_WITHIN = 60  # seconds, on a busy machine and with a model that loads anew


def test_a_server_killed_while_reading_finishes_after_its_restart(tmp_path):
    impatient = {"READING_LEASE_SECONDS": "2", "READING_QUEUED_TOO_LONG_SECONDS": "2"}
    with platform(tmp_path, **impatient) as running:
        customer = running.sign_in(CUSTOMER)
        uploads = [
            customer.upload(make_slip(total="66.00", number=f"2026112200{number}"), "66")
            for number in range(3)
        ]
        drawn = customer.post("/api/lottery/draw", {"count": 3})
        running.stop(signal.SIGKILL)

        running.start()
        deadline = time.monotonic() + FINISHED_WITHIN
        while time.monotonic() < deadline:
            history = customer.get("/api/photo/history")["items"]
            if {item["task"]["status"] for item in history} == {"completed"}:
                break
            time.sleep(0.2)
        assert {item["upload_id"] for item in history} == {one["upload_id"] for one in uploads}
        assert {item["recognized_amount"] for item in history} == {"66.00"}
        assert customer.get("/api/user/profile")["points_version"] == drawn["points_version"]
        integrity = running.manage("check_integrity")
        assert integrity.returncode == 0, integrity.stdout + integrity.stderr
        assert running.stop() == 0
