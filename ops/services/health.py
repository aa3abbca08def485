"""Is the platform able to serve? Checks run side by side and none may hang the answer.

Of each check one thread is under way at most: while it hangs, whoever asks is told so at once.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from ops.registry import Registry

type Check = Callable[[], None]

TIME_LIMIT = 1.5  # seconds for a check from when it began; /health promises an answer within 2

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


class _Asking:
    """A check under way, in a thread of its own."""

    def __init__(self, name: str, check: Check) -> None:
        self.check = check
        self.begun = monotonic()
        self.outcome: dict[str, Any] | None = None
        # A daemon: one that hangs on a dead dependency must not keep the process from ending.
        self.thread = threading.Thread(target=self._run, name=f"{name} check", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        status, detail = "ok", ""
        try:
            self.check()
        except Exception as error:  # noqa: BLE001  whatever a dependency raises means it is away
            status, detail = "failed", f"{type(error).__name__}: {error}"
        milliseconds = round((monotonic() - self.begun) * 1000, 1)
        self.outcome = {"status": status, "detail": detail, "milliseconds": milliseconds}

    def is_under_way(self) -> bool:
        return self.outcome is None and self.thread.is_alive()

    def wait(self, *, asked_at: float) -> dict[str, Any]:
        """What came of it, or, TIME_LIMIT after it began, that it hangs."""
        self.thread.join(max(0.0, self.begun + TIME_LIMIT - monotonic()))
        if self.outcome is not None:
            return self.outcome
        detail = "no answer in time"
        if asked_at > self.begun + TIME_LIMIT:  # it hung before anybody asked this time
            detail = f"still waiting for an answer, for {asked_at - self.begun:.0f} s"
        return {"status": "failed", "detail": detail, "milliseconds": None}


@dataclass(slots=True)
class _UnderWay:
    """The checks of this process that were asked last, by name."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    asking: dict[str, _Asking] = field(default_factory=dict)

    def ask(self, name: str, check: Check) -> _Asking:
        """Run a check, unless somebody has just asked it and it has not answered yet."""
        with self.lock:
            asking = self.asking.get(name)
            if asking is None or asking.check is not check or not asking.is_under_way():
                asking = self.asking[name] = _Asking(name, check)
        return asking


_under_way = _UnderWay()


def _begin_anew() -> None:
    """A child that was forked has none of the threads."""
    global _under_way
    _under_way = _UnderWay()


os.register_at_fork(after_in_child=_begin_anew)


def report(*, readiness: bool = False) -> Report:
    """Run the checks, each in a thread of its own, and give up on those that hang.

    Of the platform, or, for `readiness`, of what this process needs to serve requests.
    """
    more = readiness_checks if readiness else operation_checks
    wanted = {**dict(checks.items()), **dict(more.items())}
    asked_at = monotonic()
    asking = {name: _under_way.ask(name, check) for name, check in wanted.items()}
    return Report({name: one.wait(asked_at=asked_at) for name, one in asking.items()})
