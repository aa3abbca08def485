"""While the database is away: who has to be told is remembered, and told without it.

The rule, its channels and their addresses are read as long as the database answers. What was told
meanwhile becomes an alert once it is back.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Thread
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import connection, transaction
from django.utils import timezone

from ops.health_checks import database_answers
from ops.models import Alert, AlertRule, NoticeKind
from ops.monitoring import words
from ops.monitoring.channels import NotDelivered, Target, send
from ops.monitoring.evaluation import channels_of

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
    rule: AlertRule | None = None
    targets: list[Target] = field(default_factory=list)
    learnt_at: float = 0.0
    away_since: datetime | None = None
    is_told: bool = False
    ask: Callable[[], None] = database_answers  # raises when it does not
    _asking: Thread | None = None
    _has_answered: bool = False

    def look(self) -> None:
        """Ask the database for a sign of life; tell when it has been away for long enough.

        One that hangs is away as well: it is asked in a thread of its own.
        """
        if self._answers():
            self._is_back()
        else:
            self._is_away()

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
            self._learn_where_it_is_time()
        except Exception as error:  # noqa: BLE001  whatever it raises
            # It does not answer; or it does, and whom to tell stays as it was learnt before.
            said = "did not say whom to tell" if self._has_answered else "gave no sign of life"
            logger.info("The database %s: %s", said, type(error).__name__)
        finally:
            connection.close()

    def stand_by(self) -> None:
        """Another process of the machine looks: be able to tell when that one is gone.

        Raises what the database raises when it is away.
        """
        self.away_since, self.is_told = None, False
        self._learn_where_it_is_time()

    def _learn_where_it_is_time(self) -> None:
        if not self.learnt_at or time.monotonic() - self.learnt_at >= LEARNT_EVERY:
            self._learn()

    def _learn(self) -> None:
        rule = AlertRule.objects.filter(slug=SLUG, is_enabled=True).first()
        targets = []
        for channel in channels_of(rule) if rule else []:
            try:
                targets.append(Target.of(channel))
            except InvalidToken:
                logger.warning("The key of the address of channel %s is gone", channel.pk)
        self.rule, self.targets = rule, targets  # all of it was read
        self.learnt_at = time.monotonic()

    def _is_away(self) -> None:
        now = self.clock()
        if self.away_since is None:
            self.away_since = now
            logger.error("The database cannot be reached")
        if self.is_told or self.rule is None:
            return
        if self.rule.silenced_until is not None and self.rule.silenced_until > now:
            return
        if (now - self.away_since).total_seconds() >= self.rule.for_seconds:
            self._tell(self.rule, self.away_since, NoticeKind.RAISED)
            self.is_told = True

    def _is_back(self) -> None:
        if self.away_since is None:
            return
        logger.warning("The database is back")
        if self.is_told and self.rule is not None:
            with transaction.atomic():
                Alert.objects.create(
                    rule=self.rule,
                    series=self.host,
                    value=0,
                    since=self.away_since,
                    raised_at=self.away_since,
                    resolved_at=self.clock(),
                    told_at=self.away_since,
                    told_times=1,
                )
            self._tell(self.rule, self.away_since, NoticeKind.RESOLVED)
        self.away_since, self.is_told = None, False

    def _tell(self, rule: AlertRule, since: datetime, kind: NoticeKind) -> None:
        """Send it to everybody at the same time; nobody waits for one that hangs."""
        alert = Alert(rule=rule, series=self.host, value=0, since=since)
        said = words.message(alert, kind)
        for target in self.targets:
            Thread(target=_send, args=(target, said), daemon=True).start()


TRIES, BETWEEN = 5, 5.0  # and the seconds between two of them


def _send(target: Target, said: dict[str, Any]) -> None:
    for number in range(TRIES):
        try:
            send(target, said)
        except Exception as error:  # noqa: BLE001  whatever a library makes of an address
            why = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            logger.warning("Channel %s was not told of the database: %s", target.name, why)
            time.sleep(BETWEEN * (number + 1))
        else:
            return
