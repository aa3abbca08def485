"""System checks: classes that settings name are there, and so are the keys that rows need."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS, OperationalError
from django.utils.module_loading import import_string

from ops.services.missing_keys import missing_keys

NAMES_A_CLASS = ("SMS_SENDER", "RECEIPT_READER")


@register()
def classes_are_there(**_options: Any) -> list[Error]:
    """Name the settings whose class cannot be imported, before the first use finds out."""
    errors = []
    for name in NAMES_A_CLASS:
        try:
            import_string(getattr(settings, name))
        except ImportError as error:
            errors.append(Error(f"{name} names no class: {error}.", id="config.E001"))
    return errors


@register(Tags.database)
def keys_are_there(
    *, databases: Sequence[str] | None = None, **_options: Any
) -> list[CheckMessage]:
    """Name the keys that rows need and the ring has not: `check --database default`, `migrate`."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        missing = missing_keys()
    except OperationalError as error:
        problem = f"The keys could not be compared with the database: {error}"
        return [checks.Warning(problem, id="config.W001")]
    return [Error(key.sentence(), id="config.E002") for key in missing if not key.is_lost]
