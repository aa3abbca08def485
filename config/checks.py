"""System checks: what settings name and what rows need is there, and nobody else reads the data."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError
from django.utils.module_loading import import_string

from config.demo_accounts import default_accounts
from config.private_paths import database_files, open_to_others
from ops.monitoring import first_channels
from ops.services.missing_keys import missing_keys

NAMES_A_CLASS = ("SMS_SENDER", "RECEIPT_READER")
HINTS = {
    "SMS_SENDER": "The SDKs of Aliyun and Tencent Cloud are optional: "
    "pip install --require-hashes -r requirements-sms.txt",
}


@register()
def classes_are_there(**_options: Any) -> list[Error]:
    """Name the settings whose class cannot be imported, before the first use finds out."""
    errors = []
    for name in NAMES_A_CLASS:
        try:
            for one in getattr(settings, name).split(","):
                import_string(one.strip())
        except ImportError as error:
            problem = f"{name} names no class: {error}."
            hint = HINTS.get(name) if isinstance(error, ModuleNotFoundError) else None
            errors.append(Error(problem, hint=hint, id="config.E001"))
    return errors


@register()
def first_channels_are_addresses(**_options: Any) -> list[CheckMessage]:
    """Name the addresses of alert channels that are none, by variable and place; no secret."""
    return [
        checks.Warning(
            f"{one.where} is no address of an alert channel. {one.problem}",
            hint="The others are made. Once there is a channel the environment is not asked any "
            "more: correct it before, or add the channel in the console.",
            id="config.W003",
        )
        for one in first_channels.named()
        if one.problem
    ]


@register(Tags.security)
def data_is_closed(**_options: Any) -> list[CheckMessage]:
    """Name what others of this machine may open, since the start could not close it."""
    folders = {settings.DATA_DIR, settings.SEALS_DIR, *filter(None, [settings.LOG_DIR])}
    paths = [*sorted(folders), *database_files(settings.DATA_DIR / "db.sqlite3")]
    return [
        checks.Warning(
            f"{path} is open to other users of this machine: its rights are {rights:04o}, and "
            "they are not this process's to change.",
            hint="Give it to the user that runs the platform and take away what others may do "
            f"(chmod go= {path}), or name a folder of the platform's own.",
            id="config.W002",
        )
        for path in paths
        if (rights := open_to_others(path))
    ]


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


@register(Tags.database)
def no_default_accounts(
    *, databases: Sequence[str] | None = None, **_options: Any
) -> list[CheckMessage]:
    """Name the accounts of the demo by which anybody could enter, where it is no demo any more."""
    if settings.DEBUG or DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        names = default_accounts()
    except DatabaseError:  # before the first migration there is no table, and nobody
        return []
    return [
        Error(
            f"{name} is an account of the demo, and open: whoever read its pages could enter.",
            hint="Set a password (manage.py set_password) or deactivate it in the console; "
            "begin with an empty database and manage.py init_platform for a platform of your own.",
            id="config.E003",
        )
        for name in names
    ]
