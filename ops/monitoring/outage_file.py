"""What a machine knows of an absence of the database, in a file that outlives its processes.

It lies in METRICS_DIR, so it is the machine's: since when the database is away, what was told of
it, and whom to tell. No secret lies in it in clear: addresses stand there as in the database,
encrypted. A file that is damaged, or that says nothing of now, counts as none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson

from ops.models import AlertChannel, AlertRule
from ops.services import metric_files

# No dash in its name: a file of what a process counted has one (`ops.services.metric_files`).
FILE = "outage.json"
FORM = 1
# Whom staff wanted to be told so long ago is nobody to rely on.
KNOWN_FOR = timedelta(days=7)
# Nobody looked for so long: what came of an absence that was told is not known any more.
TOLD_FOR = timedelta(days=1)
# Nobody looked for so long: it may have answered in between, and was told to nobody.
UNTOLD_FOR = timedelta(minutes=2)

_OF_A_RULE = (
    "id",
    "name",
    "slug",
    "severity",
    "threshold",
    "for_seconds",
    "repeat_seconds",
    "title",
    "text",
)
_MOMENTS_OF_A_RULE: Mapping[str, Any] = {
    "quiet_from": time,
    "quiet_until": time,
    "silenced_until": datetime,
}
_OF_A_CHANNEL = ("id", "name", "kind", "address_encrypted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """An absence: since when, when it was looked at last, when it was told last, and how often."""

    since: datetime
    seen_at: datetime
    told_at: datetime | None = None
    told_times: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Who has to be told: the rule and its channels, as they were learnt at that moment."""

    rule: AlertRule | None = None
    channels: tuple[AlertChannel, ...] = ()
    learnt_at: datetime | None = None

    def is_newer_than(self, other: "Whom") -> bool:
        """Whether it was learnt after the other; nothing that was learnt is newer than nothing."""
        if self.learnt_at is None or other.learnt_at is None:
            return self.learnt_at is not None
        return self.learnt_at > other.learnt_at


NOBODY = Whom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the database, and who has to be told."""

    whom: Whom = NOBODY
    away: Away | None = None


@dataclass(slots=True)
class OutageFile:
    """The file, and what this process wrote into it last."""

    _written: bytes = field(default=b"")

    def read(self, *, now: datetime) -> Known:
        """What the file says; nothing where there is none, or none that says anything of now."""
        self._written = b""  # what lies there now may be another process's
        try:
            found = _read(orjson.loads(path().read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Known()
        if found.whom.learnt_at is None or now - found.whom.learnt_at > KNOWN_FOR:
            found = replace(found, whom=NOBODY)
        if found.away is not None and not _says_something(found.away, now):
            found = replace(found, away=None)
        return found

    def write(self, known: Known) -> None:
        """Replace the file as a whole, where it says something else. Raises OSError."""
        content = orjson.dumps(_written(known))
        if content != self._written:
            path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            metric_files.replace(path(), content)
            self._written = content


def path() -> Path:
    """Where the file lies."""
    return metric_files.folder() / FILE


def _says_something(away: Away, now: datetime) -> bool:
    unseen = now - away.seen_at
    return unseen <= (TOLD_FOR if away.told_at is not None else UNTOLD_FOR)


def _written(known: Known) -> dict[str, Any]:
    rule, away = known.whom.rule, known.away
    return {
        "form": FORM,
        "learnt_at": known.whom.learnt_at,
        "rule": rule and {name: getattr(rule, name) for name in (*_OF_A_RULE, *_MOMENTS_OF_A_RULE)},
        "channels": [
            {name: getattr(one, name) for name in _OF_A_CHANNEL} for one in known.whom.channels
        ],
        "away": away
        and {
            "since": away.since,
            "seen_at": away.seen_at,
            "told_at": away.told_at,
            "told_times": away.told_times,
        },
    }


def _read(said: dict[str, Any]) -> Known:
    """What a file of this form says. Raises ValueError and its like for one that is none."""
    if said["form"] != FORM:
        raise ValueError("a file of another version")
    rule, away = said["rule"], said["away"]
    channels = (
        AlertChannel(**{name: one[name] for name in _OF_A_CHANNEL}) for one in said["channels"]
    )
    return Known(
        whom=Whom(
            rule=rule and _rule(rule),
            channels=tuple(channels),
            learnt_at=_moment(said["learnt_at"]),
        ),
        away=away
        and Away(
            since=datetime.fromisoformat(away["since"]),
            seen_at=datetime.fromisoformat(away["seen_at"]),
            told_at=_moment(away["told_at"]),
            told_times=int(away["told_times"]),
        ),
    )


def _rule(said: dict[str, Any]) -> AlertRule:
    moments = {
        name: said[name] and kind.fromisoformat(said[name])
        for name, kind in _MOMENTS_OF_A_RULE.items()
    }
    return AlertRule(**{name: said[name] for name in _OF_A_RULE}, **moments)


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)
