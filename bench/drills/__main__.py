"""Run drills, and say of each whether it held.

    python -m bench.drills [--small] [NAME ...]

Without names all of them. The lines begin as Markdown does, for docs/operations/drills.md. Each
drill ends with `name: held` or `name: NOT held: why`; the exit status is 1 when one did not hold.
"""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.drills import DidNotHold, Drill, drills
from bench.drills.cluster import version
from bench.programs import ROOT


def main(arguments: Sequence[str]) -> int:
    known = drills()
    parser = argparse.ArgumentParser(prog="python -m bench.drills")
    parser.add_argument("--small", action="store_true", help="as CI runs them, in seconds")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(known):
        parser.error(f"no such drill: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    names = options.names or list(known)
    if options.alone:
        return max(_run(name, known[name], small=options.small) for name in names)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {version()}", flush=True)
    # Each in a process of its own: settings are read once, and mounts end with their process.
    small = ["--small"] if options.small else []
    command = [sys.executable, "-m", "bench.drills", "--alone", *small]
    return max(subprocess.call([*command, name], cwd=ROOT) and 1 for name in names)


def _run(name: str, drill: Drill, *, small: bool) -> int:
    said = f"python -m bench.drills {'--small ' if small else ''}{name}"
    print(f"\n## {name}\n\n`{said}`\n", flush=True)
    begun = time.monotonic()
    try:
        drill(small=small, say=_say)
    except DidNotHold as error:
        outcome = f"NOT held: {error}"
    except Exception as error:  # noqa: BLE001  a drill that breaks off has not held
        traceback.print_exc()
        outcome = f"NOT held: {type(error).__name__}: {error}"
    else:
        outcome = "held"
    _say(f"{time.monotonic() - begun:.0f} seconds in all")
    print(f"\n{name}: {outcome}", flush=True)
    return int(outcome != "held")


def _say(text: str) -> None:
    # A line of a table stands as it is.
    print(text if not text or text.startswith("|") else f"- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
