"""Reading the environment: a wrong value stops the start with a sentence that says which."""

import logging
import re
import zoneinfo
from datetime import datetime
from pathlib import Path
from typing import Any, override

import environ
from cronsim import CronSim, CronSimError
from django.core.exceptions import ImproperlyConfigured

from config.private_paths import make_private_folder

SHORTEST_SECRET = 32  # characters


class Secret(str):
    """A text that `repr` does not show: not in a traceback, a log or `manage.py diffsettings`."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "<secret>"


class EnvironmentReader(environ.Env):  # type: ignore[misc]  # environ is not typed
    """django-environ, which names a value that cannot be read instead of a bare ValueError."""

    @override
    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from error

    def is_said(self, name: str) -> bool:
        """Whether the environment says anything at all about this setting."""
        return bool(self.str(name, default=""))

    def flag(self, name: str, *, default: bool) -> bool:
        """Read a switch. django-environ would take any word it does not know for off."""
        text = self.str(name, default="").lower()
        if text in self.BOOLEAN_TRUE_STRINGS:
            return True
        if text in {"0", "false", "no", "n", "off"}:
            return False
        if text:
            raise ImproperlyConfigured(f"{name} is {text!r}: write 1 or 0.")
        return default

    def whole(self, name: str, *, default: int, least: int = 0, most: int = 10**9) -> int:
        """Read a whole number within bounds."""
        number: int = self.int(name) if self.is_said(name) else default
        if not least <= number <= most:
            raise ImproperlyConfigured(f"{name} is {number}: it goes from {least} to {most}.")
        return number

    def confidential(self, name: str) -> Secret:
        """Read what nobody else may see, or the file that NAME_FILE names; empty without either."""
        value, path = self.str(name, default=""), self.str(f"{name}_FILE", default="")
        if not path:
            return Secret(value)
        if value:
            raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: leave one out.")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            # Without the error, which shows what was read.
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which is no text.") from None
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}.") from error
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which is empty.")
        return Secret(value)

    def secret(self, name: str) -> Secret:
        """Read a secret that was set; an empty text when it was not."""
        value = self.confidential(name)
        if value and any(len(part) < SHORTEST_SECRET for part in value.split(",")):
            raise ImproperlyConfigured(
                f"{name} is too short: at least {SHORTEST_SECRET} characters, long and random."
            )
        return value

    def pattern(self, name: str, *, default: str) -> str:
        """Read a regular expression."""
        text: str = self.str(name, default=default)
        try:
            re.compile(text)
        except re.error as error:
            raise ImproperlyConfigured(f"{name} is no regular expression: {error}.") from error
        return text

    def rate(self, name: str, *, default: str) -> str:
        """Read a rate as DRF writes it, such as 600/min."""
        text: str = self.str(name, default=default)
        if not re.fullmatch(r"[1-9][0-9]*/(s|sec|second|m|min|minute|h|hour|d|day)", text):
            raise ImproperlyConfigured(f"{name} is {text!r}: write a rate such as 600/min.")
        return text

    def time_zone(self, name: str, *, default: str) -> str:
        """Read the name of a time zone."""
        text: str = self.str(name, default=default)
        if text not in zoneinfo.available_timezones():
            raise ImproperlyConfigured(f"{name} is {text!r}: write one such as Asia/Shanghai.")
        return text

    def cron(self, name: str, *, default: str) -> str:
        """Read a cron line of five fields, whose time comes; read in TIME_ZONE."""
        text: str = self.str(name, default=default)
        try:
            next(CronSim(text, datetime(2000, 1, 1)))  # noqa: DTZ001  any moment will do
        except (CronSimError, StopIteration) as error:
            raise ImproperlyConfigured(
                f"{name} is {text!r}: write a cron line whose time comes, such as 0 2 * * *."
            ) from error
        return text

    def log_level(self, name: str, *, default: str) -> str:
        """Read the name of a log level."""
        text: str = self.str(name, default=default).upper()
        if text not in logging.getLevelNamesMapping():
            raise ImproperlyConfigured(f"{name} is {text!r}: write INFO, WARNING or another level.")
        return text

    def folder(self, name: str, *, default: Path) -> Path:
        """Read where a folder of the platform's own is; `make_folder` makes it."""
        return Path(self.str(name, default=str(default))).expanduser().resolve()

    def address(self, name: str, *schemes: str) -> Secret:
        """Read the address of a server, with its password; an empty text when there is none."""
        text = self.confidential(name)
        if text and not re.match(rf"({'|'.join(schemes)})://[^/]", text):
            raise ImproperlyConfigured(f"{name} must be a {schemes[0]}:// address, or left out.")
        return text

    def sentry(self, name: str) -> Secret:
        """Read the DSN of a Sentry-compatible server; empty when there is none."""
        text = self.confidential(name)
        key, host, project = r"[^\s:/@]+(:[^\s:/@]*)?", r"[^\s/@?#]+", r"([^\s?#]*/)?[0-9]+"
        if text and not re.fullmatch(rf"https?://{key}@{host}/{project}", text):
            # Without the text, which has a key in it.
            raise ImproperlyConfigured(
                f"{name} is no DSN: write https://KEY@HOST/PROJECT, as the server shows it."
            )
        return text

    def base(self, name: str) -> str:
        """Read an address that paths are put behind, without its last slash; empty without one."""
        text: str = self.str(name, default="").rstrip("/")
        # No part of a query, and nothing that would end a source of the Content-Security-Policy.
        if text and not re.fullmatch(r"https?://[a-zA-Z0-9.:\[\]-]+(/[a-zA-Z0-9._~/-]+)?", text):
            raise ImproperlyConfigured(
                f"{name} is {text!r}: write an address such as https://cdn.example.com, or leave "
                "it out."
            )
        return text

    def database(self, name: str) -> dict[str, Any]:
        """Read the address of a PostgreSQL as Django's parameters; empty when there is none."""
        address = self.address(name, "postgres", "postgresql")
        try:
            return self.db_url_config(address) if address else {}
        except ValueError:
            # Without the error, which may show a part of the password.
            raise ImproperlyConfigured(
                f"{name} cannot be read: write postgres://USER:PASSWORD@HOST:PORT/NAME, and signs "
                "such as / # @ of a password as %2F %23 %40."
            ) from None


def make_folder(name: str, path: Path) -> None:
    """Make the folder of this setting where it is missing, and close it to others.

    Raises ImproperlyConfigured, which names the setting.
    """
    try:
        make_private_folder(path)
    except OSError as error:
        raise ImproperlyConfigured(f"{name} cannot be made: {error}.") from error
