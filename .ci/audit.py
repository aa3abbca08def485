#!/usr/bin/env python3
"""Ask whether a locked dependency has a known vulnerability: pip-audit, and what its answer means.

    python .ci/audit.py [pip-audit ...]

A finding exits 1. What could not be asked is said and exits 0: a change must not fail for a service
that is away, nor pass for audited where nothing was.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ("requirements.txt", "requirements-dev.txt")
OPTIONS = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json")


def main(program: Sequence[str]) -> int:
    """Run this pip-audit, print what it found, and return the exit status."""
    files = [f"--requirement={ROOT / name}" for name in LOCKED]
    try:
        finished = subprocess.run(  # noqa: S603  the caller's own program
            [*program, *OPTIONS, *files], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return say(f"pip-audit cannot be started, so nothing was audited: {error}")
    try:
        dependencies = json.loads(finished.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        *_before, last = finished.stderr.strip().splitlines() or [f"exit {finished.returncode}"]
        return say(f"pip-audit got no answer, so nothing was audited: {last}")
    skipped = [one for one in dependencies if "skip_reason" in one]
    found = [(one, hole) for one in dependencies for hole in one.get("vulns", ())]
    for one, hole in found:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        say(f"{one['name']} {one['version']}: {hole['id']}, fixed in {fixed}")
    if skipped:
        say(f"Of {len(skipped)} dependencies the service knew nothing; they were not audited.")
    asked = len(dependencies) - len(skipped)
    say(f"{asked} dependencies were audited, {len(found)} vulnerabilities found.")
    return 1 if found else 0


def say(line: str) -> int:
    """Print a line; returns the exit status of nothing found."""
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [sys.executable, "-m", "pip_audit"]))
