"""What can go wrong does, in little: the small form of `make drill`."""

import subprocess
import sys

import pytest

from bench.drills import drills
from tests.live import ROOT

pytestmark = pytest.mark.postgresql
PATIENCE = 900  # seconds; it takes about a minute, and a machine may be busy


@pytest.mark.parametrize("name", drills())
def test_it_holds(name):
    done = subprocess.run(
        [sys.executable, "-m", "bench.drills", "--small", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = done.stdout + done.stderr
    assert done.stdout.endswith(f"\n{name}: held\n"), said
    assert done.returncode == 0, said


def test_a_drill_that_nobody_knows_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench.drills", "no-such-drill"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "no such drill: no-such-drill" in done.stderr
