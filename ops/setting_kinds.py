"""Live settings: what an app declares of each, and its value in the memory of this process.

An app declares its own in its `live_settings.py`, one object for each, and reads `.value` wherever
the rule applies: a look into a dictionary, without a query. What is stored comes from
`ops.services.live_settings`, which also changes it.
"""

import json
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, cast, override

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ops.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

LONGEST_KEY = 64  # characters
LONGEST_JSON = 20_000  # characters of a value
KEY = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")
TRY_AGAIN_AFTER = 2  # seconds, when the database was away at the first look


class NotAccepted(ValueError):
    """A value that a setting does not take; the text says why, to people."""


# --- The memory of this process -----------------------------------------------------------------
@dataclass(slots=True)
class _Memory:
    """The stored values by key, swapped as a whole; None until they were read."""

    values: Mapping[str, Any] | None = None
    read: Callable[[], Mapping[str, Any] | None] | None = None
    read_again_at: float = 0

    def look(self) -> Mapping[str, Any]:
        """The stored values, read now; none when they cannot be read or nobody said how."""
        if self.read is None or time.monotonic() < self.read_again_at:
            return {}
        found = self.read()
        if found is None:
            self.read_again_at = time.monotonic() + TRY_AGAIN_AFTER
            return {}
        self.values = found
        return found


_memory = _Memory()


def set_reader(read: Callable[[], Mapping[str, Any] | None]) -> None:
    """Say how stored values are read at their first use; from AppConfig.ready()."""
    _memory.read = read


def swap(values: Mapping[str, Any]) -> None:
    """Let these be the stored values from now on."""
    _memory.values = values


def known() -> Mapping[str, Any]:
    """The stored values as this process knows them; empty before the first look."""
    return _memory.values or {}


def forget() -> None:
    """Know nothing: the next use reads anew."""
    _memory.values = None
    _memory.read_again_at = 0


# A server may import before it forks: what was read then may be old by the first request.
os.register_at_fork(after_in_child=forget)


# --- Settings -----------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, eq=False)
class Setting[Value](ABC):
    """One live setting.

    `default` is a value, or a function that gives it: one that reads a Django setting takes the
    first default from the environment, from the variable that `environment` names. What is public
    everybody reads at `GET /api/config`.
    """

    key: str
    default: Value | Callable[[], Value]
    group: "StrOrPromise"
    label: "StrOrPromise"
    description: "StrOrPromise" = ""
    unit: "StrOrPromise" = ""
    is_public: bool = False
    environment: str = ""

    @property
    def value(self) -> Value:
        """The value in force, as this process knows it; for reading alone."""
        values = _memory.values
        if values is None:
            values = _memory.look()
        if self.key in values:
            return cast("Value", values[self.key])
        return self.default_value

    @property
    def default_value(self) -> Value:
        """The value while nothing is stored."""
        default: Any = self.default
        return cast("Value", default() if callable(default) else default)

    @abstractmethod
    def check(self, value: Any) -> None:
        """Raise NotAccepted unless it is a value of this setting: its type, range and choices."""

    @abstractmethod
    def parse(self, text: str) -> Value:
        """The value that people write so; raises NotAccepted. It is not checked yet."""

    def as_text(self, value: Value) -> str:
        """The value as people write it, and `parse` reads it."""
        return str(value)

    def as_json(self, value: Value) -> Any:
        """The value as it is stored, and as clients read it."""
        return value

    def from_json(self, stored: Any) -> Value:
        """The value that is stored so; raises NotAccepted when it is none, or none any more."""
        self.check(stored)
        return cast("Value", stored)

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """What clients read, as JSON Schema."""

    @property
    def range(self) -> str:
        """What it takes, for people; empty where there is nothing to say."""
        return ""


declared: Registry[Setting[Any]] = Registry()


def declare[Kind: Setting[Any]](setting: Kind) -> Kind:
    """Take a setting in; raises ImproperlyConfigured for a key that is none or there already."""
    if not KEY.fullmatch(setting.key) or len(setting.key) > LONGEST_KEY:
        raise ImproperlyConfigured(f"{setting.key!r} is no key: write one such as points.welcome.")
    declared.register(setting.key, setting)
    return setting


# --- Kinds --------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, eq=False)
class Text(Setting[str]):
    """A text: one of `choices` where there are some, else one like `example` where `pattern` is."""

    choices: Sequence[str] = ()
    pattern: str = ""
    example: str = ""
    longest: int = 1000  # characters

    @override
    def check(self, value: Any) -> None:
        if not isinstance(value, str):
            raise NotAccepted(_("Write a text."))
        if self.choices and value not in self.choices:
            raise NotAccepted(_("Choose one of: %(choices)s.") % {"choices": self._listed})
        if len(value) > self.longest:
            raise NotAccepted(_("At most %(most)d characters.") % {"most": self.longest})
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise NotAccepted(_("Write it like this: %(example)s.") % {"example": self.example})
        check_can_be_kept(value)

    @override
    def parse(self, text: str) -> str:
        return text

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return {"type": "string", **({"enum": list(self.choices)} if self.choices else {})}

    @property
    @override
    def range(self) -> str:
        if self.choices:
            return self._listed
        if self.pattern:
            return _("like %(example)s") % {"example": self.example}
        return _("at most %(most)d characters") % {"most": self.longest}

    @property
    def _listed(self) -> str:
        return ", ".join(self.choices)


@dataclass(frozen=True, kw_only=True, eq=False)
class Whole(Setting[int]):
    """A whole number from `least` to `most`."""

    least: int = 0
    most: int = 10**9

    @override
    def check(self, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise NotAccepted(_("Write a whole number."))
        check_range(value, self.least, self.most, as_text=str)

    @override
    def parse(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()):
            raise NotAccepted(_("Write a whole number."))
        return int(text)

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}

    @property
    @override
    def range(self) -> str:
        return range_in_words(str(self.least), str(self.most))


@dataclass(frozen=True, kw_only=True, eq=False)
class Exact(Setting[Decimal]):
    """A decimal number from `least` to `most` with at most so many places; stored as a text."""

    least: Decimal
    most: Decimal
    places: int = 2

    @override
    def check(self, value: Any) -> None:
        if not isinstance(value, Decimal) or not value.is_finite():
            raise NotAccepted(_("Write a number, such as 1.5."))
        check_range(value, self.least, self.most, as_text=str)
        if value != round(value, self.places):
            raise NotAccepted(_("At most %(places)d decimal places.") % {"places": self.places})

    @override
    def parse(self, text: str) -> Decimal:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", text.strip()):
            raise NotAccepted(_("Write a number, such as 1.5."))
        return Decimal(text.strip())

    @override
    def as_text(self, value: Decimal) -> str:
        return f"{value:.{self.places}f}"

    @override
    def as_json(self, value: Decimal) -> str:
        return self.as_text(value)

    @override
    def from_json(self, stored: Any) -> Decimal:
        try:
            value = Decimal(stored) if isinstance(stored, str) else None
        except InvalidOperation:
            value = None
        self.check(value)
        return cast("Decimal", value)

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": rf"^-?[0-9]+(\.[0-9]{{{self.places}}})?$"}

    @property
    @override
    def range(self) -> str:
        return range_in_words(self.as_text(self.least), self.as_text(self.most))


@dataclass(frozen=True, kw_only=True, eq=False)
class Switch(Setting[bool]):
    """On or off."""

    @override
    def check(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise NotAccepted(_("Write on or off."))

    @override
    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word in {"on", "true", "yes", "1"}:
            return True
        if word in {"off", "false", "no", "0"}:
            return False
        raise NotAccepted(_("Write on or off."))

    @override
    def as_text(self, value: bool) -> str:
        return "on" if value else "off"

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    @property
    @override
    def range(self) -> str:
        return "on, off"


_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SO_LONG = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s?)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Duration(Setting[timedelta]):
    """How long, in whole seconds, from `least` to `most`; stored and read by clients in seconds."""

    least: timedelta
    most: timedelta

    @override
    def check(self, value: Any) -> None:
        if not isinstance(value, timedelta) or value.microseconds:
            raise NotAccepted(self._how)
        check_range(value, self.least, self.most, as_text=self.as_text)

    @override
    def parse(self, text: str) -> timedelta:
        """Such as 45s, 15m, 24h, 30d or 1h30m; a number alone counts seconds."""
        found = _SO_LONG.fullmatch(text.strip().lower())
        if not found or not any(found.groups()):
            raise NotAccepted(self._how)
        parts = zip(_UNITS.values(), found.groups(), strict=True)
        seconds = sum(unit * int(number or 0) for unit, number in parts)
        try:
            return timedelta(seconds=seconds)
        except OverflowError as error:
            raise NotAccepted(self._how) from error

    @property
    def _how(self) -> str:
        return _("Write how long: 45s, 15m, 24h, 30d or 1h30m.")

    @override
    def as_text(self, value: timedelta) -> str:
        left, parts = self.as_json(value), ""
        for name, unit in _UNITS.items():
            number, left = divmod(left, unit)
            parts += f"{number}{name}" if number else ""
        return parts or "0s"

    @override
    def as_json(self, value: timedelta) -> int:
        return int(value.total_seconds())

    @override
    def from_json(self, stored: Any) -> timedelta:
        is_whole = isinstance(stored, int) and not isinstance(stored, bool)
        if not is_whole or abs(stored) > 10**12:
            raise NotAccepted(self._how)
        value = timedelta(seconds=stored)
        self.check(value)
        return value

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "description": "In seconds."}

    @property
    @override
    def range(self) -> str:
        return range_in_words(self.as_text(self.least), self.as_text(self.most))


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure(Setting[Any]):
    """Whatever JSON this JSON Schema allows, except null alone."""

    json_schema: dict[str, Any] = field(default_factory=dict)

    @override
    def check(self, value: Any) -> None:
        if value is None:
            raise NotAccepted(_("Write something: null is nothing."))
        check_can_be_kept(value)
        wrong = best_match(Draft202012Validator(self.json_schema).iter_errors(value))
        if wrong is not None:
            why = {"place": wrong.json_path, "why": wrong.message}
            raise NotAccepted(_("%(place)s does not fit: %(why)s") % why)

    @override
    def parse(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotAccepted(_("This is no JSON: %(why)s") % {"why": error}) from error

    @override
    def as_text(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    @property
    @override
    def schema(self) -> dict[str, Any]:
        return self.json_schema


# --- What kinds have in common ------------------------------------------------------------------
def check_range[Number: (int, Decimal, timedelta)](
    value: Number, least: Number, most: Number, *, as_text: Callable[[Number], str]
) -> None:
    """Raise NotAccepted for what is out of range."""
    if not least <= value <= most:
        bounds = {"least": as_text(least), "most": as_text(most)}
        raise NotAccepted(_("It goes from %(least)s to %(most)s.") % bounds)


def range_in_words(least: str, most: str) -> str:
    """From where to where."""
    return _("%(least)s to %(most)s") % {"least": least, "most": most}


def check_can_be_kept(value: Any) -> None:
    """Raise NotAccepted for what a database, or a client, cannot take as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAccepted(_("There is something in it that cannot be kept.")) from error
    if "\\u0000" in text or _has_large_number(value):
        raise NotAccepted(_("There is something in it that cannot be kept."))
    if len(text) > LONGEST_JSON:
        raise NotAccepted(_("At most %(most)d characters.") % {"most": LONGEST_JSON})


def _has_large_number(value: Any) -> bool:
    """Whether there is a whole number in it that clients cannot read: beyond 64 bits."""
    if isinstance(value, Mapping):
        return any(map(_has_large_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_number, value))
    return isinstance(value, int) and abs(value) >= 2**63
