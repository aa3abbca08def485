"""From what the machines read to alerts: pending, raised, repeated, resolved.

Whoever evaluates, and however many do at once, an alert is raised once: its row is made under a
constraint, and each step of it is one UPDATE that only one of them makes. As long as nothing
changes nothing is written: on SQLite there is one writer, and requests wait for it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from ops import measures
from ops.models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    Comparison,
    NoticeKind,
    OperationalEvent,
    Reading,
    Severity,
    Spread,
)
from ops.monitoring import words
from ops.monitoring.samples import ByMetric, Samples
from ops.monitoring.series import Series

logger = logging.getLogger(__name__)

# What nobody reads for so long, as of a machine that was taken away, has no alert any more.
UNREAD_FOR = timedelta(minutes=10)

GROWS = frozenset({Reading.SHARE, Reading.INCREASE})  # what is read now and a window ago

type Labels = Mapping[str, object]
type Step = Callable[[], object]  # of an alert: it writes, and asks by a condition whether it may


def evaluate(*, now: datetime) -> str:
    """Compare every rule with what the machines read, and let alerts take their next step.

    Returns in words how many steps they took; nothing where none did. A rule that cannot be
    evaluated keeps no other from being so.
    """
    rules = list(AlertRule.objects.order_by("pk"))
    asking = [rule for rule in rules if rule.is_enabled]
    samples = Samples(now, windows={one.window_seconds for one in asking if one.reading in GROWS})
    events = Events(now, asking)
    open_alerts: dict[int, dict[str, Alert]] = {}
    for alert in Alert.objects.filter(resolved_at__isnull=True):
        open_alerts.setdefault(alert.rule_id, {})[alert.series] = alert
    taken = 0
    for rule in rules:
        try:
            taken += _take(
                steps_of(rule, open_alerts.get(rule.pk, {}), samples, events=events, now=now)
            )
        except Exception:
            logger.exception("The alert rule %s could not be evaluated", rule.pk)
    return f"{taken} steps" if taken else ""


# --- What is read -------------------------------------------------------------------------------
class Events:
    """What happened lately of the kinds that these rules ask for.

    Mostly nothing did: one statement for all of them says so.
    """

    def __init__(self, now: datetime, rules: Iterable[AlertRule] = ()) -> None:
        self._now = now
        self._asking = [rule for rule in rules if rule.reading == Reading.EVENTS]

    @cached_property
    def _newest(self) -> dict[str, datetime]:
        """When the newest event was of each kind that had one in the longest window."""
        window = max(rule.window_seconds for rule in self._asking)
        since = self._now - timedelta(seconds=window)
        happened = OperationalEvent.objects.filter(
            kind__in={rule.metric for rule in self._asking},
            happened_at__gt=since,
            happened_at__lte=self._now,
        )
        return dict(
            happened.order_by()
            .values("kind")
            .annotate(newest=Max("happened_at"))
            .values_list("kind", "newest")
        )

    def count(self, rule: AlertRule) -> int:
        """How many happened in the window of a rule, with its facts."""
        since = self._now - timedelta(seconds=rule.window_seconds)
        if rule in self._asking and self._newest.get(rule.metric, since) <= since:
            return 0
        fitting = {f"facts__{name}": value for name, value in rule.labels.items()}
        return OperationalEvent.objects.filter(
            kind=rule.metric, happened_at__gt=since, happened_at__lte=self._now, **fitting
        ).count()


def read(rule: AlertRule, samples: Samples, events: Events) -> dict[str, float]:
    """What a rule reads now: a value for each of its series, by the name that an alert has.

    Empty when no machine says anything of its metric.
    """
    window = rule.window_seconds
    if rule.reading == Reading.EVENTS:
        return {"": float(events.count(rule))}
    if rule.reading == Reading.SHARE:
        part = sum(_increase(samples, rule.metric, rule.labels, seconds=window).values())
        grown = _increase(samples, rule.of_metric, {}, seconds=window)
        whole = sum(grown.values())
        # Of few a share says nothing: one error of one request would be all of them.
        says_something = whole and whole >= rule.least_whole
        return {"": part / whole if says_something else 0.0} if grown else {}
    if rule.reading == Reading.INCREASE:
        found = _increase(samples, rule.metric, rule.labels, seconds=window)
    else:
        found = _values(samples.newest(), rule.metric, rule.labels)
    if rule.spread == Spread.SUM and found:
        return {"": sum(found.values())}
    return found


def _values(machines: Mapping[str, ByMetric], metric: str, labels: Labels) -> dict[str, float]:
    """The series of a metric with these labels, on all machines.

    What all machines share, such as rows of the database, is read of one and belongs to none: two
    would tell of one queue twice.
    """
    if machines and isinstance(dict(measures.measures.items()).get(metric), measures.Gauge):
        # Of one that could read it: the others may have been too slow.
        able = [host for host in sorted(machines) if metric in machines[host]]
        machines = {"": machines[able[0]]} if able else {}
    return {
        _name(series, host): value
        for host, by_metric in machines.items()
        for series, value in by_metric.get(metric, {}).items()
        if series.has(labels)
    }


def _increase(samples: Samples, metric: str, labels: Labels, *, seconds: int) -> dict[str, float]:
    """By how much each series of a counter grew; one that is smaller than before began anew."""
    now = _values(samples.newest(), metric, labels)
    before = _values(samples.before(seconds), metric, labels)
    return {
        name: value - before.get(name, 0.0) if value >= before.get(name, 0.0) else value
        for name, value in now.items()
    }


def _name(series: Series, host: str) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in series.labels)
    return " @ ".join(part for part in (labels, host) if part)


# --- What follows -------------------------------------------------------------------------------
def steps_of(
    rule: AlertRule,
    open_alerts: Mapping[str, Alert],
    samples: Samples,
    *,
    events: Events,
    now: datetime,
) -> list[Step]:
    """What follows for the alerts of a rule from what is read now; nothing where nothing changes.

    `open_alerts` are those that are not resolved, by their series. Reads alone.
    """
    readings = read(rule, samples, events) if rule.is_enabled else {}
    steps: list[Step] = []
    unread = dict(open_alerts)
    for series, value in readings.items():
        known = unread.pop(series[:300], None)
        if known is None:
            if holds(rule, value):
                steps.append(partial(_begin, rule, series[:300], value, now=now))
            continue
        known.rule = rule
        if known.unread_since is not None:
            steps.append(partial(_is_read_again, known))
        if not holds(rule, value):
            steps.append(partial(_end, known, value, now))
        elif _goes_on(known, value, now):
            steps.append(partial(_go_on, known, value, now))
    for alert in unread.values():
        alert.rule = rule
        if not rule.is_enabled or _is_unread_for_long(alert, now):
            steps.append(partial(_end, alert, alert.value, now))
        elif alert.unread_since is None:
            steps.append(partial(_is_unread, alert, now))
    return steps


def _take(steps: list[Step]) -> int:
    """Take these steps in one transaction; without one no transaction begins. Returns how many."""
    if steps:
        with transaction.atomic():
            for step in steps:
                step()
    return len(steps)


def holds(rule: AlertRule, value: float) -> bool:
    """Whether a value is on the wrong side of the rule's threshold."""
    if rule.comparison == Comparison.ABOVE:
        return value > rule.threshold
    return value < rule.threshold


def _begin(rule: AlertRule, series: str, value: float, *, now: datetime) -> None:
    alert = Alert(rule=rule, series=series, value=value, since=now)
    # Another machine may make it at the same time: then it is that one's.
    made = Alert.objects.bulk_create([alert], ignore_conflicts=True)
    open_one = Alert.objects.filter(rule=rule, series=series, resolved_at__isnull=True)
    if made and rule.for_seconds == 0:
        for alert in open_one.filter(raised_at__isnull=True):
            alert.rule = rule
            _go_on(alert, value, now)


def _goes_on(alert: Alert, value: float, now: datetime) -> bool:
    """Whether there is anything to write of an alert whose condition still holds."""
    rule = alert.rule
    if alert.raised_at is None:
        return now - alert.since >= timedelta(seconds=rule.for_seconds)
    if value != alert.value:
        return True
    if alert.told_at is None:
        return not is_silenced(rule, now)
    return _is_to_be_repeated(alert, now)


def _is_to_be_repeated(alert: Alert, now: datetime) -> bool:
    rule = alert.rule
    return (
        alert.told_at is not None
        and rule.repeat_seconds > 0
        and now - alert.told_at >= timedelta(seconds=rule.repeat_seconds)
        and not is_silenced(rule, now)
        and quiet_until(rule, now) is None
    )


def _go_on(alert: Alert, value: float, now: datetime) -> None:
    """Take the next step of an alert that `_goes_on`."""
    mine = Alert.objects.filter(pk=alert.pk, resolved_at__isnull=True)
    if alert.raised_at is None:
        if not mine.filter(raised_at__isnull=True).update(raised_at=now, value=value):
            return
        alert.raised_at, alert.value = now, value
    elif value != alert.value:
        mine.update(value=value)
        alert.value = value
    if alert.told_at is None:
        tell(alert, NoticeKind.RAISED, now)
    elif _is_to_be_repeated(alert, now):
        tell(alert, NoticeKind.REPEATED, now)


def _is_unread(alert: Alert, now: datetime) -> None:
    Alert.objects.filter(pk=alert.pk, unread_since__isnull=True).update(unread_since=now)


def _is_read_again(alert: Alert) -> None:
    Alert.objects.filter(pk=alert.pk).update(unread_since=None)
    alert.unread_since = None


def _is_unread_for_long(alert: Alert, now: datetime) -> bool:
    return alert.unread_since is not None and now - alert.unread_since >= UNREAD_FOR


def _end(alert: Alert, value: float, now: datetime) -> None:
    mine = Alert.objects.filter(pk=alert.pk, resolved_at__isnull=True)
    if alert.raised_at is None:
        mine.filter(raised_at__isnull=True).delete()
        return
    if mine.update(resolved_at=now, value=value) and alert.told_at is not None:
        alert.value = value
        tell(alert, NoticeKind.RESOLVED, now)


# --- Who is told --------------------------------------------------------------------------------
def tell(alert: Alert, kind: NoticeKind, now: datetime) -> None:
    """Leave a notice for each channel of an alert; it is sent by `ops.monitoring.delivery`.

    In quiet hours what is not critical waits for their end; what is over by then is not told.
    """
    rule = alert.rule
    if is_silenced(rule, now):
        return
    if not Alert.objects.filter(pk=alert.pk, told_times=alert.told_times).update(
        told_at=now, told_times=F("told_times") + 1
    ):
        return
    alert.told_at, alert.told_times = now, alert.told_times + 1
    waiting = AlertNotice.objects.filter(
        alert=alert, delivered_at__isnull=True, given_up_at__isnull=True, attempts=0
    )
    channels = channels_of(rule)
    if kind == NoticeKind.RESOLVED:
        unheard = set(
            waiting.filter(next_try_at__gt=now).values_list("channel_id", flat=True).distinct()
        )
        waiting.filter(next_try_at__gt=now).delete()
        heard = set(alert.notices.values_list("channel_id", flat=True))
        channels = [one for one in channels if one.pk in heard or one.pk not in unheard]
    said = words.message(alert, kind)
    AlertNotice.objects.bulk_create(
        [
            AlertNotice(
                alert=alert,
                channel=channel,
                kind=kind,
                number=alert.told_times,
                message=said,
                created_at=now,
                next_try_at=quiet_until(rule, now) or now,
            )
            for channel in channels
        ],
        ignore_conflicts=True,
    )


def is_silenced(rule: AlertRule, now: datetime) -> bool:
    """Whether somebody asked for silence about a rule that lasts now."""
    return rule.silenced_until is not None and rule.silenced_until > now


def channels_of(rule: AlertRule) -> list[AlertChannel]:
    """The channels that a rule names, else all that take its severity; none that is disabled."""
    named = [channel for channel in rule.channels.all() if channel.is_enabled]
    if named:
        return named
    enabled: Iterable[AlertChannel] = AlertChannel.objects.filter(is_enabled=True).order_by("pk")
    return [channel for channel in enabled if channel.takes(rule.severity)]


def quiet_until(rule: AlertRule, now: datetime) -> datetime | None:
    """When the quiet hours end that it is now, in the deployment's time zone; None when it is not.

    They may pass midnight. There are none for what is critical.
    """
    if rule.quiet_from is None or rule.quiet_until is None or rule.severity == Severity.CRITICAL:
        return None
    local = timezone.localtime(now)
    begin = local.replace(hour=rule.quiet_from.hour, minute=rule.quiet_from.minute, second=0)
    end = local.replace(hour=rule.quiet_until.hour, minute=rule.quiet_until.minute, second=0)
    if begin < end:
        return end if begin <= local < end else None
    if local < end:
        return end
    return end + timedelta(days=1) if local >= begin else None
