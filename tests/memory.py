"""How much memory something takes in a process of its own, as the kernel counts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
from pathlib import Path

import django

django.setup()

def kilobytes(name):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])

def idle():
    '''What stands in memory now; the peak is counted anew from here.'''
    Path("/proc/self/clear_refs").write_text("5")
    return kilobytes("VmRSS")

def peak():
    return kilobytes("VmHWM")
"""


def run(script: str, *arguments: object, data_dir: Path) -> list[str]:
    """Run a script that has `idle` and `peak`, both in KiB; the words that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE + script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
