"""Where nobody compares rules or sends notices any more, whoever speaks for a machine does.

Both are the work of processes with a scheduler. When the last of them was killed, nobody would be
left to say so: so the speaker of each machine, whatever it is there for, looks whether the
comparison is late. It then claims that run as a scheduler does, so however many machines look, one
compares; and however many there are, an alert is one row and a notice is claimed before it is sent.
"""

from collections.abc import Callable
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


def compare(*, clock: Callable[[], datetime] = schedules.database_now) -> bool:
    """Compare the rules, and whether it was done: not unless nobody has for LATE_AFTER."""
    late = Schedule.objects.filter(job=EVALUATION, next_due_at__lt=clock() - LATE_AFTER)
    return late.exists() and run_by_hand(EVALUATION, clock=clock) is not None


def send(*, now: datetime, is_alone: bool) -> None:
    """Send the notices that nobody has sent for UNSENT_AFTER; returns at once.

    All that is due where this process `is_alone`, since nobody compared the rules either.
    """
    delivery.deliver(now=now if is_alone else now - UNSENT_AFTER)
