"""PostgreSQL's own programs, and the server of the settings as they and we reach it.

Where a server and a database are is said by the parameters of libpq. A password goes to a program
in its environment, which other accounts cannot read; a command line everybody reads.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any, LiteralString
from urllib.parse import quote, urlencode

import psycopg
from django.conf import settings
from django.db import connections
from django.utils.translation import gettext as _
from psycopg.pq import Conninfo

from ops.backups.errors import BackupRefused

INSTALLED = Path("/usr/lib/postgresql")
# Programs since this version set transaction_timeout, which older servers refuse: a dump could be
# made, and not restored.
TRANSACTION_TIMEOUT = 17
# So long a backup waits for a table that somebody changes, such as a migration.
LOCK_WAIT = timedelta(seconds=10)
_OPTIONS = (
    f"-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 "
    f"-c lock_timeout={LOCK_WAIT // timedelta(milliseconds=1)}"
)
# Whoever copies all of a database takes as long as it takes. Not all servers know all of them.
_PATIENT = """
    SELECT set_config(name, '0', false) FROM pg_settings
    WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_session_timeout',
                   'idle_in_transaction_session_timeout')
"""
# What of it we say ourselves.
_OURS = {"client_encoding", "options"}
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")

type Parameters = Mapping[str, str]  # as libpq names them
type Session = psycopg.Connection[tuple[Any, ...]]


# --- Where the server is --------------------------------------------------------------------------
def live_parameters() -> dict[str, str]:
    """Those of the database of the settings, past its pool."""
    connection: Any = connections["default"]
    given = connection.get_connection_params()
    return {
        name: str(given[name])
        for name in _variables()
        if name not in _OURS and given.get(name) is not None
    }


def environment(parameters: Parameters, *, of_sessions: str = "") -> dict[str, str]:
    """What a program is started with: all that this process has, and where the server is.

    `of_sessions` are settings of its sessions beside ours, as PGOPTIONS writes them.
    """
    said = {
        variable: parameters[name]
        for name, variable in _variables().items()
        if variable and name in parameters
    }
    # Their messages are read by us.
    return {**os.environ, **said, "PGOPTIONS": f"{_OPTIONS} {of_sessions}", "LC_ALL": "C"}


def address(parameters: Parameters) -> str:
    """The same as a DATABASE_URL, with the password."""
    said = dict(parameters)
    user, password, name, host, port = (
        quote(said.pop(part, ""), safe="")
        for part in ("user", "password", "dbname", "host", "port")
    )
    if "%2F" in host or "%2C" in host:  # the folder of a socket, or several hosts
        said["host"], host = parameters["host"], ""
    account = f"{user}:{password}" if password else user
    place = f"{host}:{port}" if port and host else host
    if port and not host:
        said["port"] = parameters["port"]
    return f"postgres://{account}@{place}/{name}" + (f"?{urlencode(said)}" if said else "")


@contextmanager
def connected(parameters: Parameters) -> Iterator[Session]:
    """A connection of one's own that commits each statement, and has the patience of a backup.

    Raises BackupRefused if it is not let in, and for whatever PostgreSQL refuses in the block.
    """
    asked: dict[str, Any] = {**parameters, "options": _OPTIONS}
    try:
        with psycopg.connect(**asked, autocommit=True) as connection:
            connection.execute(_PATIENT)
            yield connection
    except psycopg.errors.LockNotAvailable as error:
        raise BackupRefused(_lock_is_held()) from error
    except psycopg.Error as error:
        # Not its details, which say the values of rows.
        said = error.diag.message_primary or str(error)
        raise BackupRefused(_("PostgreSQL says: %s") % one_line(said)) from error


def row(connection: Session, query: LiteralString, *values: Any) -> tuple[Any, ...]:
    """The one row of a query that always has one."""
    found = connection.execute(query, values).fetchone()
    assert found is not None  # noqa: S101  an aggregate, or a function
    return found


def major_version(connection: Session) -> int:
    """The major version of the server, such as 18."""
    return connection.info.server_version // 10_000


# --- The programs ---------------------------------------------------------------------------------
def find(name: str, *, server: int) -> Path:
    """A program that goes with a server of this major version.

    Raises BackupRefused, which says both versions and where to get the right one.
    """
    found = [(version, path) for path in _candidates(name) if (version := _version(path))]
    fitting = [one for one in found if _goes_with(one[0], server)]
    if fitting:
        # A newer one may say what an older server does not understand.
        return min(fitting, key=lambda one: one[0])[1]
    remedy = _(
        "Install postgresql-client-%d (https://www.postgresql.org/download/), or name the folder "
        "of its programs in PG_TOOLS_DIR."
    ) % (server)
    if not found:
        raise BackupRefused(_("%s is missing.") % name + " " + remedy)
    said = {"program": name, "version": max(one[0] for one in found), "server": server}
    raise BackupRefused(
        _("%(program)s is of version %(version)d and the server of %(server)d.") % said
        + " "
        + remedy
    )


class Output:
    """What a program writes. Reading its end raises BackupRefused if the program failed."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101  it was asked for
        self._process, self._source, self._errors = process, process.stdout, errors

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        data = self._source.read(size)
        if len(data) != size:
            self._check()
        return data

    def _check(self) -> None:
        if status := self._process.wait():
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")
            name = Path(str(self._process.args[0])).name  # type: ignore[index]  # it is a list
            raise BackupRefused(_reason(name, status, said))


@contextmanager
def running(
    program: Path,
    arguments: Sequence[str],
    parameters: Parameters,
    *,
    of_sessions: str = "",
    **options: Any,
) -> Iterator[Output]:
    """Run a program and read what it writes; it is stopped when the block is left early.

    `of_sessions` are settings of its sessions, `options` what `subprocess` is told beside.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  a program of PostgreSQL, and no shell
            [str(program), *arguments],
            env=environment(parameters, of_sessions=of_sessions),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            **options,
        ) as process,
    ):
        try:
            yield Output(process, errors)
        finally:
            process.kill()  # does nothing if it has ended


def run(program: Path, arguments: Sequence[str], parameters: Parameters, **options: Any) -> str:
    """Run a program to its end; returns what it wrote. Raises BackupRefused if it failed."""
    with running(program, arguments, parameters, **options) as output:
        return output.read().decode()


def one_line(said: object) -> str:
    """What a program or an error says, as one line."""
    return " ".join(str(said).split())


def _candidates(name: str) -> list[Path]:
    if settings.PG_TOOLS_DIR:
        named = Path(settings.PG_TOOLS_DIR) / name
        return [named] if named.is_file() else []
    on_path = shutil.which(name)
    return [*([Path(on_path)] if on_path else []), *INSTALLED.glob(f"*/bin/{name}")]


def _goes_with(version: int, server: int) -> bool:
    """Whether programs of a version work with a server of another: not with a newer one.

    What newer ones set first of all, an older server does not know.
    """
    return version >= server and (version < TRANSACTION_TIMEOUT or server >= TRANSACTION_TIMEOUT)


def _version(program: Path) -> int | None:
    """The major version of a program; None where it does not run."""
    try:
        done = subprocess.run(  # noqa: S603
            [str(program), "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    said = _VERSION.search(done.stdout)
    return int(said[1]) if said else None


def _reason(name: str, status: int, said: str) -> str:
    if "lock timeout" in said:
        return _lock_is_held()
    lines = [one_line(line) for line in said.splitlines() if line.strip()]
    # The first error is the reason, the others follow from it; details say the values of rows.
    telling = [line for line in lines if "error:" in line.lower()] or lines[-1:]
    if telling:
        reason = telling[0].removeprefix(f"{name}: error: ")[:500]
        return _("%(program)s failed: %(reason)s") % {"program": name, "reason": reason}
    return _("%(program)s ended with status %(status)d.") % {"program": name, "status": status}


def _lock_is_held() -> str:
    return _(
        "Somebody changes a table and holds it, such as a migration: it was waited for %d seconds. "
        "Try again afterwards."
    ) % (LOCK_WAIT.seconds)


@cache
def _variables() -> dict[str, str]:
    """What libpq knows, and in which variable its programs look for it; empty where in none."""
    return {
        each.keyword.decode(): (each.envvar or b"").decode() for each in Conninfo.get_defaults()
    }
