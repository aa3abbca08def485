"""How much memory the server takes while many receipts wait to be read.

    python -m bench.backlog [--receipts 1000] [--seconds 180]

Starts `manage.py serve` as anybody does (SQLite, or the servers of `tests.servers` where it runs
under them), reads a few receipts so that the models are loaded, puts receipts of many sizes into
the line and watches the process. The goal: at most 100 MB over idle, and one task for each receipt.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

GOAL = 100  # MB over idle

FILL = """
import dataclasses, sys
from decimal import Decimal
from accounts.models import User
from catalog.models import Shop
from reviews.photos import check_photo
from reviews.services import uploads
from reviews.tests.slips import Layout, make_slip
person = User.objects.latest("pk")
User.objects.filter(pk=person.pk).update(daily_upload_quota=1_000_000)
person.refresh_from_db()
shop = Shop.objects.first()
many = {many}
kinds = [
    check_photo(make_slip(layout=list(Layout)[n % 6], rotation=(0, 90, 3, 180, -4)[n % 5],
                          scale=(0.5, 1, 1.5, 2, 3)[n % 5], number=f"2026{{n:010}}"))
    for n in range(min(many, 30))
]
for number in range(many):
    photo = dataclasses.replace(kinds[number % len(kinds)], sha256=f"{{number + {many}:064x}}")
    with uploads.photo_stored(photo, person_id=person.pk) as stored:
        uploads.submit(person=person, amount=Decimal("128.50"), stored=stored, shop=shop)
"""
COUNT = """
from django_tasks_db.models import DBTaskResult
from reviews.models import ProcessRecord
print(DBTaskResult.objects.count(), ProcessRecord.objects.filter(status="completed").count(),
      ProcessRecord.objects.count())
"""


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.backlog")
    parser.add_argument("--receipts", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=180)
    options = parser.parse_args(arguments)
    quick = {"READING_QUEUED_TOO_LONG_SECONDS": "10", "READING_LEASE_SECONDS": "45"}
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), **quick) as running:
        running.sign_in("13800138001")
        print(f"started: {memory(running):.0f} MB")
        fill(running, 5)
        while counts(running)[1] < 5:
            time.sleep(1)
        time.sleep(5)
        idle = memory(running)
        print(f"idle, models loaded: {idle:.0f} MB", flush=True)
        fill(running, options.receipts)
        highest = 0.0
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline:
            highest = max(highest, memory(running))
            time.sleep(0.1)
        tasks, read, receipts = counts(running)
        print(f"{receipts} receipts, {read} read, {tasks} tasks")
        print(f"highest {highest:.0f} MB, {highest - idle:+.0f}; now {memory(running):.0f} MB")
        running.stop()
    return int(highest - idle > GOAL or tasks != receipts)


def started(folder, **environment):
    """The platform as tests start it, with settings that write nowhere else."""
    os.environ.update(DJANGO_SETTINGS_MODULE="config.settings", DATA_DIR=str(folder))
    import django

    django.setup()
    from tests.live import platform

    return platform(folder, **environment)


def memory(running):
    """What stands in memory of the server, in MB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024


def fill(running, many):
    done = running.manage("shell", "-c", FILL.format(many=many))
    if done.returncode:
        raise SystemExit(done.stderr)


def counts(running):
    return list(map(int, running.manage("shell", "-c", COUNT).stdout.split()[-3:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
