"""Is the platform able to serve? Checks run side by side and none may hang the answer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.registry import Registry

type Check = Callable[[], None]

TIME_LIMIT = 1.5  # seconds for all checks together; /health promises an answer within 2

# A check raises when its dependency is not as it must be. What every request needs:
checks: Registry[Check] = Registry()
# What the platform as a whole needs as well. It makes /health fail, and no process unready: a load
# balancer that asked /health would take all web processes away because the worker is silent.
operation_checks: Registry[Check] = Registry()
# What makes a process unready, and the platform no less healthy.
readiness_checks: Registry[Check] = Registry()


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of all checks; `checks` maps a name to `{"status", "detail", "milliseconds"}`."""

    checks: dict[str, dict[str, Any]]

    @property
    def is_healthy(self) -> bool:
        return all(check["status"] == "ok" for check in self.checks.values())


def _run(name: str, check: Check, results: dict[str, dict[str, Any]]) -> None:
    started = time.monotonic()
    status, detail = "ok", ""
    try:
        check()
    except Exception as error:  # noqa: BLE001  whatever a dependency raises means it is away
        status, detail = "failed", f"{type(error).__name__}: {error}"
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    results[name] = {"status": status, "detail": detail, "milliseconds": milliseconds}


def report(*, readiness: bool = False) -> Report:
    """Run the checks, each in a thread of its own, and give up on those that hang.

    Of the platform, or, for `readiness`, of what this process needs to serve requests.
    """
    more = readiness_checks if readiness else operation_checks
    wanted = {**dict(checks.items()), **dict(more.items())}
    results: dict[str, dict[str, Any]] = {}
    # Daemon threads: one that hangs on a dead dependency must not keep the process from ending.
    threads = [
        threading.Thread(target=_run, args=(name, check, results), daemon=True)
        for name, check in wanted.items()
    ]
    deadline = time.monotonic() + TIME_LIMIT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    finished = dict(results)
    hanging = {"status": "failed", "detail": "no answer in time", "milliseconds": None}
    return Report({name: finished.get(name, hanging) for name in wanted})
