"""What processes counted is summed up: of the living and the dead, in a folder that stays small."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from ops.services import metric_files

ROOT = Path(__file__).resolve().parents[2]
# A process that writes what it counted so far each time it is given a line, and says so.
COUNTING = """
import sys
from pathlib import Path
from types import SimpleNamespace
import django.conf
django.conf.settings.configure(METRICS_DIR=sys.argv[1])
from ops.services import metric_files
count = 0
for line in sys.stdin:
    count += int(line)
    metric_files.write({"platform_x_total": {("a",): count}}, {"platform_open": {(): 1}})
    print(count, flush=True)
"""


@pytest.fixture(autouse=True)
def leave():
    yield
    metric_files.let_go()


class Counting:
    """Another process of this machine."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(metric_files.folder())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def count(self, more):
        self.stdin.write(f"{more}\n")
        self.stdin.flush()
        self.stdout.readline()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@contextmanager
def others(number):
    running = [Counting() for _number in range(number)]
    try:
        yield running
    finally:
        for one in running:
            with suppress(ValueError):
                one.kill()


def files(ending=".json"):
    return sorted(path.name for path in metric_files.folder().glob(f"*-*{ending}"))


def x():
    return metric_files.read().counted.get("platform_x_total", {}).get(("a",), 0)


def open_ones():
    return sum(gauges["platform_open"][()] for gauges in metric_files.read().gauges)


def test_nothing_is_written_where_nothing_was_counted():
    assert metric_files.read() == metric_files.Sum()
    assert metric_files.compact() == 0
    assert not metric_files.folder().exists()


def test_three_processes_are_summed_up_and_a_killed_one_stays_in_the_sum():
    with others(3) as (first, second, third):
        for number, one in enumerate((first, second, third), start=1):
            one.count(number)
        first.count(10)
        assert (x(), open_ones()) == (16, 3)

        first.kill()
        assert (x(), open_ones()) == (16, 2), "its counts stay, what was open is not"

        assert metric_files.compact() == 1
        assert (x(), open_ones()) == (16, 2)
        second.count(5)
        assert x() == 21


def test_the_folder_of_a_thousand_starts_is_that_of_one():
    with others(1) as (living,):
        living.count(1)
        for name in range(1000):
            path = metric_files.folder() / f"{name}-gone.json"
            counted = {"platform_x_total": [[["a"], 1]], "platform_y_seconds": [[[], [1, 2, 0.5]]]}
            path.write_bytes(orjson.dumps({"counted": counted, "gauges": {}}))
        assert metric_files.compact() == 1000
        assert (x(), len(files())) == (1001, 1)
        assert metric_files.read().counted["platform_y_seconds"] == {(): [1000, 2000, 500.0]}
        assert metric_files.compact() == 0
        assert x() == 1001


def test_putting_together_can_be_killed_at_any_moment(monkeypatch):
    with others(3) as running:
        for one in running:
            one.count(7)
            one.kill()

    class Killed(BaseException):
        pass

    def die(*_arguments):
        raise Killed

    for at in ("replace", "_remove"):
        with monkeypatch.context() as patch:
            patch.setattr(metric_files, at, die)
            with pytest.raises(Killed):
                metric_files.compact()
        assert x() == 21, at
    # Written, and not one of the files taken away: `_remove` is called for nothing first.
    calls = []

    def die_the_second_time(where, names):
        calls.append(list(names))
        if len(calls) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(metric_files, "_remove", die_the_second_time)
        with pytest.raises(Killed):
            metric_files.compact()
    assert len(files()) == 3
    assert x() == 21

    metric_files.compact()
    assert (x(), files(), files(".alive")) == (21, [], [])


def test_whoever_reads_while_others_put_together_sees_the_same_sum():
    for number in range(50):
        metric_files.write({"platform_x_total": {("a",): 1}}, {})
        metric_files.let_go()
        assert len(files()) == number + 1
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add(x())

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(20):
        metric_files.compact()
        metric_files.write({"platform_x_total": {("b",): number}}, {})
        metric_files.let_go()
    done.set()
    looking.join()
    assert seen == {50}


def test_only_one_process_puts_together_at_a_time():
    metric_files.write({"platform_x_total": {("a",): 1}}, {})
    metric_files.let_go()
    with metric_files._only_one(metric_files.folder()) as is_ours:
        assert is_ours
        assert metric_files.compact() == 0
    assert metric_files.compact() == 1


def test_what_does_not_change_is_not_written_again():
    metric_files.write({"platform_x_total": {("a",): 1}}, {})
    (path,) = metric_files.folder().glob("*-*.json")
    before = path.stat().st_ino
    metric_files.write({"platform_x_total": {("a",): 1}}, {})
    assert path.stat().st_ino == before
    metric_files.write({"platform_x_total": {("a",): 2}}, {})
    assert x() == 2


def test_bounds_of_another_version_are_not_added_to_ours():
    known: dict[str, Any] = {"platform_x_seconds": {(): [1, 2, 0.5]}}
    metric_files.add_up(known, {"platform_x_seconds": {(): [1, 2, 3, 0.5]}})
    assert known == {"platform_x_seconds": {(): [1, 2, 3, 0.5]}}


def test_the_files_are_their_owners_alone():
    metric_files.write({"platform_x_total": {("a",): 1}}, {})
    metric_files.compact()
    assert metric_files.folder().stat().st_mode & 0o077 == 0
    assert [
        path.name for path in metric_files.folder().iterdir() if path.stat().st_mode & 0o077
    ] == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_file_of_its_own():
    metric_files.write({"platform_x_total": {("a",): 1}}, {})
    pid = os.fork()
    if not pid:  # pragma: no cover  in the child
        metric_files.write({"platform_x_total": {("a",): 10}}, {})
        os._exit(0)
    os.waitpid(pid, 0)
    assert (x(), len(files())) == (11, 2)
    assert metric_files.compact() == 1, "the child's, and not ours"
    assert x() == 11
