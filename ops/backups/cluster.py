"""The PostgreSQL of the settings as its own programs reach it: the one place that knows how.

Past Django's pool, whose time limits are made for requests.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
from django.db import connections
from django.utils.translation import gettext as _
from psycopg import sql

from ops.backups.errors import BackupRefused

INSTALLED = Path("/usr/lib/postgresql")

type Session = psycopg.Connection[tuple[Any, ...]]

# What libpq calls a parameter, and where its programs look for it.
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def found_program(name: str) -> Path:
    """A program of PostgreSQL. Raises BackupRefused where there is none."""
    if installed := sorted(INSTALLED.glob(f"*/bin/{name}")):
        return installed[-1]
    if path := shutil.which(name):
        return Path(path)
    raise BackupRefused(
        _("%s is missing: install the programs of PostgreSQL (postgresql-client).") % name
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A PostgreSQL server, and one database of it."""

    # As libpq names them.
    parameters: Mapping[str, str]
    program: Callable[[str], Path] = found_program

    @classmethod
    def live(cls) -> Self:
        """The one of the settings."""
        given = connections["default"].settings_dict
        parameters: dict[str, Any] = {
            "host": given["HOST"],
            "port": given["PORT"],
            "user": given["USER"],
            "password": given["PASSWORD"],
            "dbname": given["NAME"],
            **{name: one for name, one in given["OPTIONS"].items() if name in VARIABLES},
        }
        return cls(parameters={name: str(one) for name, one in parameters.items() if one})

    @property
    def environment(self) -> dict[str, str]:
        """What its programs are started with: everything else, and where the server is."""
        theirs = {name: one for name, one in os.environ.items() if not name.startswith("PG")}
        said = {VARIABLES[name]: one for name, one in self.parameters.items()}
        # Messages are looked at, and times are read.
        return {**theirs, **said, "LC_ALL": "C", "TZ": "UTC"}

    @contextmanager
    def connect(self, **more: str) -> Iterator[Session]:
        """A connection that commits each statement.

        Raises BackupRefused if it is not let in, and for whatever PostgreSQL says in the block.
        """
        try:
            with psycopg.connect(**{**self.parameters, **more}, autocommit=True) as connection:  # type: ignore[arg-type]
                yield connection
        except psycopg.Error as error:
            raise BackupRefused(_("PostgreSQL says: %s") % one_line(error)) from error


def asked(
    connection: Session,
    query: LiteralString,
    values: Sequence[Any] = (),
) -> tuple[Any, ...]:
    """The one row of a query that always has one."""
    row = connection.execute(query, values).fetchone()
    assert row is not None  # noqa: S101  an aggregate, or a function
    return row


def count_rows(connection: Session) -> dict[str, int]:
    """How many rows each table of the schema has, at one moment."""
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
        )
    ]
    if not tables:
        return {}
    counts = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {}").format(sql.Literal(name), sql.Identifier(name))
        for name in tables
    )
    return dict(connection.execute(counts).fetchall())


def one_line(said: object) -> str:
    """What a program or an error says, as one line."""
    return " ".join(str(said).split())
