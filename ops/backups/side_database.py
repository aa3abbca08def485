"""A database beside the live one, on the same server: made, filled, dropped, or swapped in.

Its name is that of the live one with `_scratch_` and six digits of chance, by which what a killed
command left is known.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connections
from django.utils.translation import gettext as _
from psycopg import sql

from ops.backups import left_out
from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_tools import Parameters, Session, row

logger = logging.getLogger(__name__)

LONGEST_NAME = 63  # bytes
MARK = "_scratch_"
DIGITS = 6
LOOK_AGAIN = 0.05  # seconds
# Where one is while databases are renamed and dropped, which nobody may be in.
ELSEWHERE = ("postgres", "template1")

_NEW = """
    SELECT encoding, datcollate, datctype, datlocprovider::text,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
    FROM pg_database d WHERE datname = current_database()
"""
_TABLES = """
    SELECT n.nspname, c.relname, n.nspname = current_schema()
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""
_DESERTED = """
    SELECT datname FROM pg_database
    EXCEPT SELECT application_name FROM pg_stat_activity
"""
_OTHERS = """
    SELECT pid FROM pg_stat_activity WHERE datname IN (%s, %s) AND pid <> pg_backend_pid()
"""


@dataclass(slots=True, kw_only=True)
class SideDatabase:
    """A database beside the live one. It is scratch until it becomes something."""

    live: Parameters
    name: str
    is_scratch: bool = True

    @property
    def parameters(self) -> Parameters:
        """Where it is, as libpq names it."""
        return {**self.live, "dbname": self.name}

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which `manage.py` works on it instead of the live database."""
        return {"DATABASE_URL": tools.address(self.parameters), "DATABASE_URL_FILE": ""}

    def count_rows(self) -> Mapping[str, int]:
        """How many rows each of its tables has."""
        with tools.connected(self.parameters) as connection:
            return count_rows(connection)

    def become(self, name: str) -> None:
        """Stay, as another database of this name. Raises BackupRefused if it exists."""
        live = _name(self.live)
        with _elsewhere(self.live, self.name) as connection:
            _check_name(connection, name, live=live)
            connection.execute(_rename(self.name, name))
        self.name, self.is_scratch = name, False

    def become_live(self, *, keep_as: str) -> str:
        """Take the place of the live database, which is kept; returns where, in words.

        Whoever is connected to it is ended, and whoever connects meanwhile waits. Raises
        BackupRefused, and then the live database is what it was.
        """
        live = _name(self.live)
        with _elsewhere(self.live, live) as connection:
            _check_name(connection, keep_as, live=live)
            _check_owner(connection, live)
        left_out.carry_over(self.live, self.parameters)
        _let_go()
        _swap(self.live, live=live, side=self.name, keep_as=keep_as)
        self.name, self.is_scratch = live, False
        return _("the database %s on the same server") % keep_as


@contextmanager
def created(live: Parameters) -> Iterator[SideDatabase]:
    """An empty database like the live one; dropped when the block is left, unless it became one.

    Raises BackupRefused, which names the right that the role lacks.
    """
    with tools.connected(live) as connection:
        _check_right(connection)
        (of,) = row(connection, "SELECT current_database()")
    live = {**live, "dbname": of}
    side = SideDatabase(live=live, name=f"{_stem(of)}{secrets.token_hex(DIGITS // 2)}")
    # As long as this connection is open, somebody is at work on it.
    with _elsewhere({**live, "application_name": side.name}, of):
        try:
            with tools.connected(live) as connection:
                connection.execute(_create(connection, side.name))
                left_out.set_like(connection, side.name)
            yield side
        except BaseException:
            # That it stays is less than what went wrong, and the next command removes it.
            _drop_anyhow(side)
            raise
        _drop(side)


def check_name(live: Parameters, name: str) -> None:
    """Raise BackupRefused unless a side database can become one of this name."""
    with tools.connected(live) as connection:
        _check_name(connection, name, live=_name(live))


def check_live(live: Parameters) -> None:
    """Raise BackupRefused where no side database could take the place of the live one."""
    of = _name(live)
    with _elsewhere(live, of) as connection:
        _check_right(connection)
        _check_owner(connection, of)


def remove_remains(live: Parameters) -> int:
    """Drop the scratch databases of this one on which nobody is at work, and none else.

    Returns how many. Another machine may be at work on one.
    """
    live = {**live, "dbname": _name(live)}
    of_this = re.compile(rf"{re.escape(_stem(live['dbname']))}[0-9a-f]{{{DIGITS}}}")
    with _elsewhere(live, live["dbname"]) as connection:
        names = [name for (name,) in connection.execute(_DESERTED)]
        remains = [name for name in names if of_this.fullmatch(name)]
        for name in remains:
            connection.execute(_drop_statement(name))
    return len(remains)


def tables(connection: Session) -> Iterator[tuple[str, str]]:
    """The tables that a dump has, with their schemas; the rows of partitions are their parents'."""
    for schema, name, _is_usual in connection.execute(_TABLES):
        yield schema, name


def count_rows(connection: Session) -> dict[str, int]:
    """How many rows each table has at one moment; with its schema, where that is not the usual."""
    counts = [
        sql.SQL("SELECT {}, count(*) FROM {}").format(
            sql.Literal(name if is_usual else f"{schema}.{name}"), sql.Identifier(schema, name)
        )
        for schema, name, is_usual in connection.execute(_TABLES)
    ]
    if not counts:
        return {}
    return dict(connection.execute(sql.SQL(" UNION ALL ").join(counts)).fetchall())


# --- Names and rights -----------------------------------------------------------------------------
def _name(parameters: Parameters) -> str:
    """What the database is called; a service may say it."""
    if name := parameters.get("dbname"):
        return name
    with tools.connected(parameters) as connection:
        return connection.info.dbname


def _stem(name: str) -> str:
    """The name of a scratch database without its digits, which no other database shares."""
    room = LONGEST_NAME - len(MARK) - DIGITS
    if len(name.encode()) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = name.encode()[: room - 13].decode(errors="ignore") + "_" + digest
    return name + MARK


def _check_name(connection: Session, name: str, *, live: str) -> None:
    """Raise BackupRefused unless a database can be called so, and none is."""
    if not 0 < len(name.encode()) <= LONGEST_NAME or "\0" in name:
        raise BackupRefused(
            _("The name of a database has 1 to %(most)d bytes: %(name)r has not.")
            % {"most": LONGEST_NAME, "name": name}
        )
    if name.startswith(_stem(live)):
        raise BackupRefused(
            _("Databases called %s... are removed by the next command: choose another name.")
            % _stem(live)
        )
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        raise BackupRefused(
            _("There is a database %s already: choose another name, or drop it.") % name
        )


def _check_right(connection: Session) -> None:
    allowed, role = row(
        connection,
        "SELECT rolcreatedb OR rolsuper, quote_ident(rolname) FROM pg_roles "
        "WHERE rolname = current_user",
    )
    if not allowed:
        raise BackupRefused(
            _(
                "The role %(role)s may not create databases, and a restore goes to one beside the "
                "live: run ALTER ROLE %(role)s CREATEDB."
            )
            % {"role": role}
        )


def _check_owner(connection: Session, live: str) -> None:
    allowed, role, database = row(
        connection,
        "SELECT pg_has_role(datdba, 'USAGE'), quote_ident(current_user), quote_ident(datname) "
        "FROM pg_database WHERE datname = %s",
        live,
    )
    if not allowed:
        raise BackupRefused(
            _(
                "The role %(role)s does not own the database %(database)s and may not rename it: "
                "run ALTER DATABASE %(database)s OWNER TO %(role)s."
            )
            % {"role": role, "database": database}
        )


# --- Statements -----------------------------------------------------------------------------------
def _create(connection: Session, name: str) -> sql.Composed:
    encoding, collate, ctype, provider, locale = row(connection, _NEW)
    (encoded,) = row(connection, "SELECT pg_encoding_to_char(%s)", encoding)
    options = {
        "ENCODING": encoded,
        "LOCALE_PROVIDER": {"c": "libc", "i": "icu", "b": "builtin"}[provider],
        "LC_COLLATE": collate,
        "LC_CTYPE": ctype,
    }
    if provider in {"i", "b"}:
        options["ICU_LOCALE" if provider == "i" else "BUILTIN_LOCALE"] = locale
    said = [sql.SQL("{} = {}").format(sql.SQL(key), one) for key, one in options.items()]
    # Nothing is in template0 that a dump has as well.
    return sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(
        sql.Identifier(name), sql.SQL(" ").join(said)
    )


def _rename(name: str, new: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
        sql.Identifier(name), sql.Identifier(new)
    )


def _drop_statement(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


def _drop(side: SideDatabase) -> None:
    if side.is_scratch:
        with _elsewhere(side.live, side.name) as connection:
            connection.execute(_drop_statement(side.name))


def _drop_anyhow(side: SideDatabase) -> None:
    try:
        _drop(side)
    except BackupRefused as refusal:
        logger.warning("The scratch database %s stays for now: %s", side.name, refusal)


# --- The swap -------------------------------------------------------------------------------------
@contextmanager
def _elsewhere(live: Parameters, name: str) -> Iterator[Session]:
    """A connection to another database of the server than this one."""
    other = next(one for one in ELSEWHERE if one != name)
    with tools.connected({**live, "dbname": other}) as connection:
        yield connection


def _let_go() -> None:
    """Close what this thread and the pool of this process have open; they open it again."""
    ours: Any = connections["default"]
    ours.close()
    ours.close_pool()


def _swap(parameters: Parameters, *, live: str, side: str, keep_as: str) -> None:
    """Rename both databases in one transaction, and end whoever is in one of them meanwhile.

    The first rename takes a lock that whoever connects waits for, and waits itself for up to five
    seconds until those who are in have left. So nobody slips in, and a kill at any moment leaves
    the live database open under its name.
    """
    with (
        _elsewhere(parameters, live) as renaming,
        _elsewhere(parameters, live) as ending,
        ThreadPoolExecutor(1) as worker,
    ):
        done = worker.submit(_rename_both, renaming, live=live, side=side, keep_as=keep_as)
        while not wait([done], LOOK_AGAIN).done:
            _end_others(ending, live, side)
        try:
            done.result()
        except psycopg.errors.ObjectInUse as error:
            raise BackupRefused(
                _(
                    "Others use the database %(database)s and cannot be ended (%(who)s): end "
                    "their sessions, or run GRANT pg_signal_backend TO %(role)s."
                )
                % {
                    "database": live,
                    "who": tools.one_line(error.diag.message_detail),
                    "role": renaming.info.user,
                }
            ) from error


def _rename_both(connection: Session, *, live: str, side: str, keep_as: str) -> None:
    with connection.transaction():
        connection.execute(_rename(live, keep_as))
        connection.execute(_rename(side, live))


def _end_others(connection: Session, live: str, side: str) -> None:
    for (pid,) in connection.execute(_OTHERS, [live, side]).fetchall():
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
