"""Where nobody compares rules or sends notices any more, whoever speaks for a machine does.

Both are the work of processes with a scheduler. When the last of them was killed, nobody would be
left to say so: so the speaker of each machine, whatever it is there for, looks whether the
comparison is late. It then claims that run as a scheduler does, so however many machines look, one
compares; and however many there are, an alert is one row and a notice is claimed before it is sent.
Whoever compared last, and was not followed by anybody, compares as often as a scheduler would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.models import Schedule
from ops.monitoring import delivery
from ops.monitoring.jobs import EVALUATION
from ops.services import schedules
from ops.services.scheduler import run_by_hand

# Three comparisons stayed away: no scheduler is just busy.
LATE_AFTER = timedelta(seconds=15)
# A worker looks every second.
UNSENT_AFTER = timedelta(seconds=10)


@dataclass(slots=True)
class _Last:
    """The last run that this process claimed: of which row, and the number of the claim."""

    claim: tuple[int, int] | None = None


_last = _Last()


def compare(*, clock: Callable[[], datetime] = schedules.database_now) -> bool:
    """Compare the rules, and whether it was done: not unless nobody has for LATE_AFTER.

    As soon as they are due where this process did it last: no scheduler has come back since.
    """
    now = clock()
    due = Schedule.objects.filter(job=EVALUATION, next_due_at__lte=now).first()
    if due is None:
        return False
    is_late = due.next_due_at < now - LATE_AFTER
    if not is_late and (due.pk, due.claims) != _last.claim:
        return False
    if run_by_hand(EVALUATION, clock=clock) is None:
        return False
    # Where another one was faster the number is a higher one, and is taken for a scheduler's.
    _last.claim = due.pk, due.claims + 1
    return True


def forget() -> None:
    """Have claimed nothing, as a process that starts. For tests."""
    _last.claim = None


def send(*, now: datetime, is_alone: bool) -> None:
    """Send the notices that nobody has sent for UNSENT_AFTER; returns at once.

    All that is due where this process `is_alone`, since nobody compared the rules either.
    """
    delivery.deliver(now=now if is_alone else now - UNSENT_AFTER)
