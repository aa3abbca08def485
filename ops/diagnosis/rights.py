"""What the role of the platform may do, and the GRANT that mends what it may not."""

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from ops.diagnosis.findings import Finding, Severity

PART = "rights"
NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE")

_OF_TABLES = """
    SELECT c.relname, privilege
    FROM pg_class c, unnest(%s::text[]) privilege
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT has_table_privilege(c.oid, privilege)
    ORDER BY c.relname, array_position(%s::text[], privilege)
"""
_OF_SEQUENCES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace
    AND CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') ELSE false END
    ORDER BY c.relname
"""
_NOT_OWNED = """
    SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY c.relname
"""


def look() -> Iterator[Finding]:
    """Ask the server for the rights of the role at hand; SQLite has none. Raises DatabaseError."""
    if connection.vendor != "postgresql":
        return
    found = [*_of_schema(), *_of_tables(), *_of_sequences(), *_of_owners()]
    yield from found
    if not found:
        said = _("%(role)s may read, write, create and alter") % {"role": _role()}
        yield Finding(PART, "rights", Severity.GOOD, said)


def _asked(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _role() -> str:
    ((role,),) = _asked("SELECT current_user")
    return str(role)


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _grant(what: str) -> tuple[str, ...]:
    return (f"GRANT {what} TO {_quoted(_role())}",)


def _ask_the_owner() -> str:
    return _("Run this as the owner or a superuser.")


def _of_schema() -> Iterator[Finding]:
    ((may_create, schema),) = _asked(
        "SELECT has_schema_privilege(current_schema(), 'CREATE'), current_schema()"
    )
    if not may_create:
        yield Finding(
            PART,
            "cannot-create",
            Severity.ERROR,
            _("%(role)s cannot create tables: migrations would fail.") % {"role": _role()},
            _ask_the_owner(),
            _grant(f"USAGE, CREATE ON SCHEMA {_quoted(schema)}"),
        )


def _of_tables() -> Iterator[Finding]:
    lacking: dict[str, list[str]] = {}
    for table, privilege in _asked(_OF_TABLES, list(NEEDED), list(NEEDED)):
        lacking.setdefault(table, []).append(privilege)
    for table, privileges in lacking.items():
        what = ", ".join(privileges)
        yield Finding(
            PART,
            "no-right",
            Severity.ERROR,
            _("%(role)s lacks %(what)s on %(table)s.")
            % {"role": _role(), "what": what, "table": table},
            _ask_the_owner(),
            _grant(f"{what} ON {_quoted(table)}"),
        )


def _of_sequences() -> Iterator[Finding]:
    for (sequence,) in _asked(_OF_SEQUENCES):
        yield Finding(
            PART,
            "no-right",
            Severity.ERROR,
            _("%(role)s lacks USAGE on %(sequence)s: no row could be added.")
            % {"role": _role(), "sequence": sequence},
            _ask_the_owner(),
            _grant(f"USAGE ON SEQUENCE {_quoted(sequence)}"),
        )


def _of_owners() -> Iterator[Finding]:
    for table, owner in _asked(_NOT_OWNED):
        yield Finding(
            PART,
            "not-owner",
            Severity.WARNING,
            _("%(table)s belongs to %(owner)s: %(role)s cannot alter it in a migration.")
            % {"table": table, "owner": owner, "role": _role()},
            _ask_the_owner(),
            (f"ALTER TABLE {_quoted(table)} OWNER TO {_quoted(_role())}",),
        )
