"""One process speaks for its machine; when it is gone another one does, under the same id."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.conf import settings

from ops.services import machine

ROOT = Path(__file__).resolve().parents[2]
# A process that says, each time it is given a line, whether it speaks, and for whom.
ASKING = """
import sys
from pathlib import Path
import django.conf
django.conf.settings.configure(METRICS_DIR=sys.argv[1])
from ops.services import machine
for line in sys.stdin:
    print(machine.speaks(), machine.machine_id(), flush=True)
"""


@pytest.fixture(autouse=True)
def leave():
    yield
    machine.let_go()


class Other:
    """Another process of this machine."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", ASKING, str(settings.METRICS_DIR)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def says(self):
        self.stdin.write("?\n")
        self.stdin.flush()
        speaks, name = self.stdout.readline().split()
        return speaks == "True", name

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@contextmanager
def other():
    one = Other()
    try:
        yield one
    finally:
        one.kill()


def test_one_speaks_and_another_takes_over_when_it_was_killed():
    with other() as one:
        assert one.says() == (True, machine.machine_id())
        assert not machine.speaks()
        assert one.says()[0]
        one.kill()
        assert machine.speaks()
        assert machine.speaks()
    with other() as one:
        assert one.says() == (False, machine.machine_id())


def test_a_forked_child_speaks_for_nobody_and_takes_nothing_away():
    assert machine.speaks()
    child = os.fork()
    if child == 0:
        os._exit(int(machine.speaks()))
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with other() as one:
        assert not one.says()[0]


def test_what_a_child_does_first_lets_go_of_the_lock_it_was_born_with():
    assert machine.speaks()
    machine._begin_anew()
    with other() as one:
        assert one.says()[0]


def test_whose_lock_is_gone_takes_the_next_one():
    assert machine.speaks()
    (settings.METRICS_DIR / machine.LOCK_FILE).unlink()
    assert not machine._is_same(machine._held.descriptor, settings.METRICS_DIR / machine.LOCK_FILE)
    assert machine.speaks()


def test_a_folder_that_was_emptied_is_spoken_for_anew():
    assert machine.speaks()
    (settings.METRICS_DIR / machine.LOCK_FILE).unlink()
    with other() as one:
        assert one.says()[0]
        assert not machine.speaks()


# A process that may not write a byte into any file, as on a full disk.
FULL = """
import resource, sys
import django.conf
django.conf.settings.configure(METRICS_DIR=sys.argv[1])
from ops.services import machine, metric_files
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for _time in range(3):
    for act in (machine.machine_id, lambda: metric_files.write({"x": {(): 1}}, {})):
        try:
            print(act())
        except OSError as error:
            print(type(error).__name__)
print(machine.speaks(), metric_files.read().counted)
"""


def test_on_a_full_disk_one_speaks_and_leaves_nothing_over():
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(settings.METRICS_DIR)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [*["OSError"] * 6, "True {'x': {(): 1}}", ""]
    # Its lock, and the draft of what it counted: one each, however often it was tried.
    left = {path.suffix for path in settings.METRICS_DIR.iterdir()}
    assert left == {".lock", ".alive", ".new"}
    assert len(list(settings.METRICS_DIR.iterdir())) == 3


def open_in(folder):
    """How often this process has a file of a folder open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, by a thread that is none of ours
            found.append(descriptor.readlink())
    return sum(path.is_relative_to(folder) for path in found)


def test_a_lock_that_nobody_can_have_leaves_nothing_open(monkeypatch):
    """As on some network file systems."""

    def no_locks(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _time in range(3):
        with pytest.raises(OSError, match="No locks available"):
            machine.speaks()
    assert open_in(settings.METRICS_DIR) == 0


def test_the_id_stays_whatever_the_host_is_called(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "web 1/a")
    name = machine.machine_id()
    assert name.startswith("web-1-a-")
    monkeypatch.setattr("socket.gethostname", lambda: "f3a9c1")
    assert machine.machine_id() == name


@pytest.mark.parametrize("broken", ["", "two words", "a" * 101])
def test_an_id_that_is_none_is_made_anew(broken):
    settings.METRICS_DIR.mkdir()
    (settings.METRICS_DIR / machine.ID_FILE).write_text(broken)
    name = machine.machine_id()
    assert machine.WELL_FORMED.match(name)
    assert machine.machine_id() == name


def test_of_two_ids_the_first_one_stays():
    name = machine.machine_id()
    machine._write_once(settings.METRICS_DIR / machine.ID_FILE, "other")
    assert machine.machine_id() == name
    assert not list(settings.METRICS_DIR.glob("*.new"))
