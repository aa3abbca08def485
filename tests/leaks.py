"""Whether any line of the log of the whole suite says what nobody may read there.

Every line is taken as the real formatter and filters make it, and searched when its test is over:
for what looks like a token or a ciphertext, and for the phones, openids, codes, seeds and keys
that tests made. Those are heard of where they are made: when something is encrypted or hashed with
a key, and when a row is saved whose model says that a field is sensitive. So no test has to tell.

A test that leaks fails with the line; `tests/planted_leaks.py` are some that do.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

SHORTEST = 6  # signs; less than that may be anything
# Fewer signs than this may come up again by chance: they are known in the test that made them.
LASTING = 9
_BY_LOOK = re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]+|gAAAAA[\w-]{20,}")
_WORD = re.compile(rf"[A-Za-z0-9_-]{{{SHORTEST},}}")
_NUMBER = re.compile(rf"(?<![0-9A-Fa-f-])\d{{{SHORTEST},}}(?![0-9A-Fa-f-])")
_HASHED = re.compile(r"\d{6}|1[3-9]\d{9}|[\w-]{40,}")  # of what is hashed: codes, phones, tokens
_OF_ALL = {"time", "level", "logger", "request_id", "route", "method"}


class Leaks:
    """What is known, and the lines of the test at hand."""

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._of_the_test: set[str] = set()
        self._odd: set[str] = set()  # which are more than one word
        self._lines: list[str] = []

    def know(self, value: Any) -> None:
        """From now on nobody may say this."""
        if not isinstance(value, str) or len(value) < SHORTEST:
            return
        if not _WORD.fullmatch(value):
            self._odd.add(value)
        elif len(value) < LASTING:
            self._of_the_test.add(value)
        else:
            self._lasting.add(value)

    def knows(self, value: str) -> bool:
        """Whether it would be found as a word."""
        return value in self._lasting or value in self._of_the_test

    def hear(self, line: str) -> None:
        """Keep a line until its test is over."""
        self._lines.append(line)

    def take(self) -> list[str]:
        """The lines since the last time that leak; what belongs to one test is forgotten."""
        found = [line for line in self._lines if self._leaks(line)]
        self._lines = []
        self._of_the_test, self._odd = set(), set()
        return found

    def _leaks(self, line: str) -> bool:
        text = _texts_of(json.loads(line))
        if _BY_LOOK.search(text) or any(value in text for value in self._odd):
            return True
        return any(map(self.knows, (*_WORD.findall(text), *_NUMBER.findall(text))))


def _texts_of(line: dict[str, Any]) -> str:
    """What is said in a line; of a trace what exceptions say: its source is no secret."""
    facts = [value for name, value in line.items() if name not in _OF_ALL and name != "trace"]
    said = [value for value in facts if isinstance(value, str)]
    return "\n".join([*said, *_messages(line.get("trace", ""))])


def _messages(trace: str) -> Iterator[str]:
    for line in trace.splitlines():
        in_its_place = re.sub(r"\A\s*\|", "", line)  # of a group of exceptions
        if not in_its_place.startswith("  "):
            yield in_its_place


leaks = Leaks()


def pytest_configure(config: pytest.Config) -> None:
    """Listen to all that is logged, and to whatever makes a secret."""
    import logging

    from cryptography.fernet import Fernet
    from django.conf import settings
    from django.db.models import Model, QuerySet
    from django.db.models.signals import pre_save

    from ops.logs.lines import JsonFormatter, RequestLine, TakesLines
    from ops.masking import MaskingFilter
    from ops.request_id import RequestIdFilter
    from ops.sensitive import Kind, of
    from ops.services import encryption
    from tests.keys import NEW, OLD

    class Listening(TakesLines):
        def emit(self, record: logging.LogRecord) -> None:
            leaks.hear(self.format(record))

        def take(self, lines: Sequence[RequestLine]) -> None:
            for line in lines:
                leaks.hear(line.json().decode())

    listening = Listening()
    listening.setFormatter(JsonFormatter())
    listening.addFilter(RequestIdFilter())
    listening.addFilter(MaskingFilter())
    for name in ("", "request", "commands"):
        logging.getLogger(name).addHandler(listening)

    keys = ("HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS", "SEAL_KEYS")
    rings = [key for ring in keys for key in getattr(settings, ring)]
    for key in (OLD, NEW, settings.SECRET_KEY, *rings):
        leaks.know(str(key))

    encrypt, made_hash, create = Fernet.encrypt, encryption._hash, QuerySet.bulk_create

    def heard_encrypt(cipher: Fernet, data: bytes) -> bytes:
        leaks.know(data.decode(errors="replace"))
        return encrypt(cipher, data)

    def heard_hash(secret: bytes, value: str) -> str:
        for part in value.split(":"):
            if _HASHED.fullmatch(part):
                leaks.know(part)
        return made_hash(secret, value)

    secret_fields: dict[type[Model], list[str]] = {}

    def hear_of_row(sender: type[Model], instance: Model, **_signal: Any) -> None:
        names = secret_fields.get(sender)
        if names is None:
            kinds = {Kind.MASKED, Kind.SECRET}
            names = [name for name, kind in of(sender).items() if kind in kinds]
            secret_fields[sender] = names
        for name in names:
            leaks.know(instance.__dict__.get(name))

    def heard_create(rows: QuerySet[Any], objs: Any, *args: Any, **options: Any) -> Any:
        objs = list(objs)
        for row in objs:
            hear_of_row(rows.model, row)
        return create(rows, objs, *args, **options)

    pre_save.connect(hear_of_row, weak=False, dispatch_uid=__name__)
    patch = pytest.MonkeyPatch()
    patch.setattr(Fernet, "encrypt", heard_encrypt)
    patch.setattr(encryption, "_hash", heard_hash)
    patch.setattr(QuerySet, "bulk_create", heard_create)
    config.add_cleanup(patch.undo)


@pytest.fixture(autouse=True)
def no_leak_in_the_log() -> Iterator[None]:
    """Fail a test in whose time the log said what nobody may read there."""
    from ops.logs.lines import backlog

    yield
    backlog.write()
    found = leaks.take()
    assert not found, "Lines of the log say what nobody may read there:\n" + "\n".join(found)
