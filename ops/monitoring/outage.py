"""While the database is away: who has to be told is remembered, and told without it.

The rule, its channels and their addresses are read as long as the database answers, and kept in a
file of the machine (`ops.monitoring.outage_file`), with what was told: a process that starts in the
middle goes on where the one before it ended. Nobody can agree on who speaks for all machines
without a database, so each machine that does not reach it tells so by itself. Once it is back, what
was told becomes an alert, and that it is over is told as of every alert.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import connection, transaction
from django.utils import timezone

from ops.health_checks import database_answers
from ops.models import Alert, AlertRule, NoticeKind
from ops.monitoring import words
from ops.monitoring.channels import NotDelivered, Target, send
from ops.monitoring.evaluation import channels_of, is_silenced, quiet_until, tell
from ops.monitoring.outage_file import NOBODY, Away, Known, OutageFile, Whom

logger = logging.getLogger(__name__)

SLUG = "database-away"
LEARNT_EVERY = 60  # seconds between two looks at who has to be told
ANSWERS_WITHIN = 5  # seconds


@dataclass(slots=True)
class Watch:
    """What one process knows of the database, and whom it would tell.

    `host` is the name of the machine. Times are `now`, which a test hands in.
    """

    host: str
    clock: Callable[[], datetime] = timezone.now
    whom: Whom = NOBODY
    away: Away | None = None
    ask: Callable[[], None] = database_answers  # raises when it does not
    is_over: Event = field(default_factory=Event)  # what was not delivered by then is too late
    _file: OutageFile = field(default_factory=OutageFile)
    _asked_whom_at: float = 0.0
    _has_recalled: bool = False
    _is_unkept: bool = False
    _asking: Thread | None = None
    _has_answered: bool = False

    def look(self) -> None:
        """Ask the database for a sign of life; tell when it has been away for long enough.

        One that hangs is away as well: it is asked in a thread of its own.
        """
        self._recall()
        if self._answers():
            self._is_back()
        else:
            self._is_away()
        self._keep()

    def stand_by(self) -> None:
        """Another process of the machine looks: be able to tell when that one is gone.

        One that hangs is asked in a thread of its own, as it is by `look`.
        """
        self.away = None
        self._has_recalled = False  # what that one finds out is in the file
        if self._is_time_to_learn():
            self._answers()

    # --- The file -------------------------------------------------------------------------------
    def _recall(self) -> None:
        """Go on where the process before this one ended."""
        if self._has_recalled:
            return
        found = self._file.read(now=self.clock())
        if found.whom.is_newer_than(self.whom):
            self.whom = found.whom
        self.away = found.away
        self._has_recalled = True

    def _keep(self) -> None:
        """Write down what the next process needs; without a file this one's memory has to do."""
        try:
            self._file.write(Known(whom=self.whom, away=self.away))
        except OSError as error:
            if not self._is_unkept:
                logger.warning("What is known of the database cannot be kept: %s", error.strerror)
            self._is_unkept = True
        else:
            self._is_unkept = False

    # --- The question ---------------------------------------------------------------------------
    def _answers(self) -> bool:
        if self._asking is not None and self._asking.is_alive():
            return False
        self._has_answered = False
        self._asking = Thread(target=self._ask, name="database watch asks", daemon=True)
        self._asking.start()
        self._asking.join(ANSWERS_WITHIN)
        return self._has_answered

    def _ask(self) -> None:
        try:
            self.ask()
            self._has_answered = True
            if self._is_time_to_learn():
                self._learn()
        except Exception as error:  # noqa: BLE001  whatever it raises
            # It does not answer; or it does, and whom to tell stays as it was learnt before.
            said = "did not say whom to tell" if self._has_answered else "gave no sign of life"
            logger.info("The database %s: %s", said, type(error).__name__)
        finally:
            connection.close()

    def _is_time_to_learn(self) -> bool:
        last = self._asked_whom_at
        return not last or time.monotonic() - last >= LEARNT_EVERY

    def _learn(self) -> None:
        rule = AlertRule.objects.filter(slug=SLUG, is_enabled=True).first()
        channels = tuple(channels_of(rule)) if rule else ()
        # All of it was read.
        self.whom = Whom(rule=rule, channels=channels, learnt_at=self.clock())
        self._asked_whom_at = time.monotonic()

    # --- What follows ---------------------------------------------------------------------------
    def _is_away(self) -> None:
        now, rule = self.clock(), self.whom.rule
        if self.away is None:
            self.away, self.is_over = Away(since=now, seen_at=now), Event()
            logger.error("The database cannot be reached")
        away = replace(self.away, seen_at=now)
        if rule is not None and (kind := _to_tell(rule, away, now)):
            self._tell(rule, away, kind)
            away = replace(away, told_at=now, told_times=away.told_times + 1)
        self.away = away

    def _is_back(self) -> None:
        if self.away is None:
            return
        logger.warning("The database is back")
        self.is_over.set()
        if self.away.told_at is not None:
            self._store(self.away)
        self.away = None

    @transaction.atomic
    def _store(self, away: Away) -> None:
        """Make an alert of an absence that was told, and leave notices that it is over: once."""
        rule = AlertRule.objects.filter(slug=SLUG).first()
        if rule is None or Alert.objects.filter(rule=rule, since=away.since).exists():
            return
        now = self.clock()
        alert = Alert.objects.create(
            rule=rule,
            series=self.host,
            value=0,
            since=away.since,
            raised_at=away.since,
            resolved_at=now,
            told_at=away.told_at,
            told_times=away.told_times,
        )
        tell(alert, NoticeKind.RESOLVED, now)

    def _tell(self, rule: AlertRule, away: Away, kind: NoticeKind) -> None:
        """Send it to everybody at the same time; nobody waits for one that hangs."""
        alert = Alert(rule=rule, series=self.host, value=0, since=away.since)
        said = words.message(alert, kind)
        for channel in self.whom.channels:
            try:
                target = Target.of(channel)
            except InvalidToken:
                logger.warning("The key of the address of channel %s is gone", channel.pk)
            else:
                Thread(target=_send, args=(target, said, self.is_over), daemon=True).start()


def _to_tell(rule: AlertRule, away: Away, now: datetime) -> NoticeKind | None:
    """What is to be told now, as far as the rule was known when the database went away."""
    if is_silenced(rule, now) or quiet_until(rule, now) is not None:
        return None
    if away.told_at is None:
        is_time = now - away.since >= timedelta(seconds=rule.for_seconds)
        return NoticeKind.RAISED if is_time else None
    again = rule.repeat_seconds > 0
    is_time = now - away.told_at >= timedelta(seconds=rule.repeat_seconds)
    return NoticeKind.REPEATED if again and is_time else None


TRIES, BETWEEN = 5, 5.0  # and the seconds between two of them


def _send(target: Target, said: dict[str, Any], is_over: Event) -> None:
    for number in range(TRIES):
        try:
            send(target, said)
        except Exception as error:  # noqa: BLE001  whatever a library makes of an address
            why = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            logger.warning("Channel %s was not told of the database: %s", target.name, why)
            # That it is over may be told by now: that it began must not arrive after it.
            if is_over.wait(BETWEEN * (number + 1)):
                return
        else:
            return
