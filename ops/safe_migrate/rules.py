"""What speaks against an action: our rules, and those of django-migration-linter.

Each says how bad it is, why, and what helps. Why not by the library: decision 21.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from django.db import connection
from django.utils.translation import gettext as _

from ops.safe_migrate.estimate import is_rewritten
from ops.safe_migrate.locks import Mode
from ops.safe_migrate.looks import Look, columns_of, meant
from ops.safe_migrate.statements import Action, Kind
from ops.safe_migrate.tables import Table, Tables

PAUSE = 1.5  # seconds that nobody may have to wait for a page
NOTICED = 0.2  # seconds from which people notice
WRITERS_PAUSE = 5.0  # seconds after which a request gives up the wait for a lock
BIG = 100_000  # rows from which a table counts as big
LONG_USE = 1.0  # seconds


class Risk(IntEnum):
    """How much a migration risks."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def word(self) -> str:
        """As in the JSON."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a migration risks something; with `is_error` it would fail, as the rows are now."""

    rule: str
    risk: Risk
    text: str
    remedy: str = ""
    is_error: bool = False


def reasons(action: Action, tables: Tables, look: Look | None) -> Iterator[Reason]:
    """What speaks against an action, with what was found when its rows were looked at."""
    if action.kind is Kind.UNKNOWN:
        yield Reason(
            "unknown-statement",
            Risk.MEDIUM,
            _("What this statement does is not known here."),
            _("Read it, and try it on a copy."),
        )
        return
    if not action.table:
        return
    table = tables.at(action.table)
    if table.is_missing and not action.is_optional and action.kind is not Kind.CREATE_TABLE:
        yield _missing(action)
    if table.is_new:
        return
    if look:
        yield from _seen(meant(action, table), table, look)
    if rule := _RULES.get(action.kind):
        yield from rule(action, table, tables)
    if connection.vendor == "postgresql" and table.rows and is_rewritten(action, table):
        yield _rewritten(action, table)


# --- What rows stand in the way -----------------------------------------------------------------
def _seen(action: Action, table: Table, look: Look) -> Iterator[Reason]:
    names = {"table": action.table, "name": _name(action), "count": look.breaking}
    if look.error:
        yield Reason(
            "unseen",
            Risk.MEDIUM,
            _("Whether the rows of %(table)s allow %(name)s could not be seen: %(error)s")
            % {**names, "error": look.error},
            _("Try it on a copy."),
        )
    elif look.refusal:
        yield Reason(
            "type-change",
            Risk.HIGH,
            _("A value of %(table)s.%(name)s is none of the new type: %(error)s")
            % {**names, "error": look.refusal},
            _("Change these rows in a migration before it."),
            is_error=True,
        )
    elif look.changed:
        yield Reason(
            "loses-data",
            Risk.HIGH,
            _("%(count)d values of %(table)s.%(name)s are rounded or cut, and do not come back.")
            % {**names, "count": look.changed},
            _("Add a column of the new type, fill it, and drop the old one in a later release."),
        )
    elif look.breaking:
        rule, text = _broken(action)
        # An earlier step may change them: then the dry run tells.
        may_change = table.has_changed_rows
        if may_change:
            remedy = _("An earlier step may change them; a dry run tells.")
        else:
            remedy = _("Change these rows in a migration before it.")
        risk = Risk.MEDIUM if may_change else Risk.HIGH
        yield Reason(rule, risk, text % names, remedy, is_error=not may_change)


def _missing(action: Action) -> Reason:
    return Reason(
        "missing-table",
        Risk.MEDIUM,
        _("No table %(table)s is known here: what this statement does could not be foreseen.")
        % {"table": action.table},
        _("Read it, and try it on a copy."),
    )


def _name(action: Action) -> str:
    return action.name or ", ".join(sorted(columns_of(action)))


def _broken(action: Action) -> tuple[str, str]:
    match action.kind:
        case Kind.SET_NOT_NULL:
            return "not-null", _("%(count)d rows of %(table)s have nothing in %(name)s.")
        case Kind.ADD_CHECK:
            return "check", _("%(count)d rows of %(table)s break %(name)s.")
        case Kind.ADD_FOREIGN_KEY:
            return "foreign-key", _("%(count)d rows of %(table)s point to nothing by %(name)s.")
        case Kind.ALTER_TYPE:
            return "type-change", _("%(count)d values of %(table)s.%(name)s are too long.")
        case _:
            return "unique", _("%(count)d values stand twice in %(table)s: %(name)s.")


# --- Rules by kind --------------------------------------------------------------------------------
def _two_releases() -> str:
    return _("In two releases: stop using it first, take it away in the next.")


def _drops_column(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    names = {"table": action.table, "name": action.name}
    if tables.is_in_use(action.table, action.name):
        yield Reason(
            "drops-column",
            Risk.HIGH,
            _("The version that runs now reads and writes %(table)s.%(name)s.") % names,
            _two_releases(),
        )
    elif table.rows:
        yield Reason(
            "loses-data",
            Risk.LOW,
            _("Nobody uses %(table)s.%(name)s any more; what stands in it is gone.") % names,
        )


def _drops_table(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    names = {"table": action.table, "count": table.rows}
    if tables.is_in_use(action.table):
        yield Reason(
            "drops-table",
            Risk.HIGH,
            _("The version that runs now works with %(table)s.") % names,
            _two_releases(),
        )
    elif table.rows:
        yield Reason(
            "loses-data",
            Risk.MEDIUM,
            _("Nobody uses %(table)s any more; its %(count)d rows are gone.") % names,
        )


def _renames(action: Action, _table: Table, tables: Tables) -> Iterator[Reason]:
    is_column = action.kind is Kind.RENAME_COLUMN
    if tables.is_in_use(action.table, action.name if is_column else ""):
        name = f"{action.table}.{action.name}" if is_column else action.table
        yield Reason(
            "renames",
            Risk.HIGH,
            _("The version that runs now knows %(name)s by this name alone.") % {"name": name},
            _("Keep the name in the database (db_column, db_table), or add, fill and drop."),
        )


def _adds_column(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    column = action.column
    if column is None or not column.is_not_null or column.is_generated or column.value:
        return
    names = {"table": action.table, "name": action.name, "count": table.rows}
    if table.rows and column.copied in {"", "NULL"}:
        yield Reason(
            "not-null",
            Risk.HIGH,
            _("%(count)d rows of %(table)s would have nothing in %(name)s.") % names,
            _("Give it a default in the database (db_default)."),
            is_error=True,
        )
    elif tables.is_in_use(action.table):
        yield _breaks_inserts(action)


def _drops_default(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    column = table.columns.get(action.name)
    is_new = action.name in table.new_columns
    if column and is_new and column.is_not_null and tables.is_in_use(action.table):
        yield _breaks_inserts(action)


def _breaks_inserts(action: Action) -> Reason:
    return Reason(
        "not-null",
        Risk.HIGH,
        _("The version that runs now adds rows to %(table)s without %(name)s, and would fail.")
        % {"table": action.table, "name": action.name},
        _("Give it a default in the database (db_default)."),
    )


def _sets_not_null(action: Action, _table: Table, tables: Tables) -> Iterator[Reason]:
    if tables.is_in_use(action.table, action.name):
        yield Reason(
            "not-null",
            Risk.HIGH,
            _("The version that runs now may still write nothing to %(table)s.%(name)s.")
            % {"table": action.table, "name": action.name},
            _("In two releases: write it always first, demand it in the next."),
        )


def _new_rule(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    """A demand on rows; of columns that are new, the version that runs now writes nothing."""
    if action.kind is Kind.CREATE_INDEX and not action.is_unique:
        return
    if action.name in table.indexes:
        return  # SQLite makes those of a table that was remade again
    columns = columns_of(action)
    if columns and columns <= table.new_columns:
        return
    if any(f'"{name}"' in action.expression for name in table.new_columns):
        return
    if tables.is_in_use(action.table):
        rule = {Kind.ADD_CHECK: "check", Kind.ADD_FOREIGN_KEY: "foreign-key"}.get(
            action.kind, "unique"
        )
        yield Reason(
            rule,
            Risk.MEDIUM,
            _("The version that runs now does not know the rule %(name)s of %(table)s.")
            % {"table": action.table, "name": _name(action)},
            _("Where it may break it, let a version go before that keeps it."),
        )


def _alters_type(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    if connection.vendor == "sqlite" or not is_rewritten(action, table):
        return
    if tables.is_in_use(action.table, action.name):
        yield Reason(
            "type-change",
            Risk.MEDIUM,
            _("The version that runs now works with %(table)s.%(name)s as another type.")
            % {"table": action.table, "name": action.name},
            _("Add a column of the new type, fill it, and drop the old one in a later release."),
        )


def _truncates(action: Action, _table: Table, tables: Tables) -> Iterator[Reason]:
    with_it = tables.reached(action.table) if action.is_cascade else []
    for table in (tables.at(name) for name in (action.table, *with_it)):
        if table.rows:
            yield Reason(
                "loses-data",
                Risk.HIGH,
                _("All %(count)d rows of %(table)s are deleted.")
                % {"table": table.name, "count": table.rows},
            )


def _deletes(action: Action, table: Table, tables: Tables) -> Iterator[Reason]:
    if not action.expression:
        yield from _truncates(action, table, tables)


def _rewritten(action: Action, table: Table) -> Reason:
    size = table.bytes + table.index_bytes
    is_big = table.rows >= BIG
    return Reason(
        "rewrites-table",
        Risk.HIGH if is_big else Risk.LOW,
        _("Every row of %(table)s is written anew: %(count)d rows, %(size).1f MB.")
        % {"table": action.table, "count": table.rows, "size": size / 1_000_000},
        _("Add the column without it, fill it in batches, and demand it afterwards."),
    )


_RULES: dict[Kind, Callable[[Action, Table, Tables], Iterator[Reason]]] = {
    Kind.DROP_COLUMN: _drops_column,
    Kind.DROP_TABLE: _drops_table,
    Kind.RENAME_TABLE: _renames,
    Kind.RENAME_COLUMN: _renames,
    Kind.ADD_COLUMN: _adds_column,
    Kind.DROP_DEFAULT: _drops_default,
    Kind.SET_NOT_NULL: _sets_not_null,
    Kind.ADD_CHECK: _new_rule,
    Kind.ADD_UNIQUE: _new_rule,
    Kind.ADD_FOREIGN_KEY: _new_rule,
    Kind.CREATE_INDEX: _new_rule,
    Kind.ALTER_TYPE: _alters_type,
    Kind.TRUNCATE: _truncates,
    Kind.DELETE: _deletes,
}


# --- Rules of a whole migration -------------------------------------------------------------------
def of_lock(table: Table, name: str, mode: Mode, *, held: float) -> Iterator[Reason]:
    """What a lock does to those who work with a table, by the seconds that it is held."""
    names = {"table": name, "mode": mode.words, "seconds": held}
    if mode.holds_up_readers:
        risk = Risk.HIGH if held > PAUSE else Risk.MEDIUM if held > NOTICED else Risk.LOW
        if risk:
            text = _("%(mode)s on %(table)s for about %(seconds).1f s: nobody can read or write.")
            yield Reason("exclusive-lock", risk, text % names, _apart())
        if table.oldest_use > LONG_USE:
            text = _(
                "%(table)s has been in use by a transaction for %(seconds).0f s: the lock waits "
                "for it, and everybody else behind it."
            )
            waits = {"table": name, "seconds": table.oldest_use}
            yield Reason("busy-table", Risk.MEDIUM, text % waits, _("Wait until it has ended."))
        elif table.rows >= BIG and not risk:
            text = _("%(mode)s on %(table)s, a big table (%(count)d rows), for a moment.")
            yield Reason("exclusive-lock", Risk.LOW, text % {**names, "count": table.rows})
    elif mode.holds_up_writers and held > NOTICED:
        risk = Risk.HIGH if held > WRITERS_PAUSE else Risk.MEDIUM
        text = _("%(mode)s on %(table)s for about %(seconds).1f s: nobody can write.")
        yield Reason("blocks-writers", risk, text % names, _apart())


def whole_file() -> str:
    """What SQLite locks, in words."""
    return _("the whole file")


def _apart() -> str:
    return _("Make it apart from other work: without a transaction, CONCURRENTLY, NOT VALID.")


def blocking_index(action: Action, table: Table) -> Reason | None:
    """An index on a big table that is made while nobody can write."""
    is_made = action.kind is Kind.CREATE_INDEX and not action.is_concurrent
    is_of_rule = action.kind is Kind.ADD_UNIQUE and not action.is_unchecked
    if connection.vendor == "sqlite" or table.is_new or table.rows < BIG:
        return None
    if is_of_rule and not columns_of(action) <= table.new_columns:
        return Reason(
            "blocking-index",
            Risk.HIGH,
            _("The index %(name)s is made while nobody can read %(table)s (%(count)d rows).")
            % {"table": action.table, "name": _name(action), "count": table.rows},
            _("Make a unique index CONCURRENTLY first, and the constraint of it (USING INDEX)."),
        )
    if not is_made:
        return None
    return Reason(
        "blocking-index",
        Risk.HIGH,
        _("The index %(name)s is made while nobody can write to %(table)s (%(count)d rows).")
        % {"table": action.table, "name": action.name, "count": table.rows},
        _("Use AddIndexConcurrently in a migration with atomic = False."),
    )


def not_in_a_transaction(action: Action) -> Reason:
    """CONCURRENTLY inside of a transaction, which PostgreSQL refuses."""
    return Reason(
        "in-transaction",
        Risk.HIGH,
        _("%(name)s is made or dropped CONCURRENTLY, which no transaction allows.")
        % {"name": action.name},
        _("Set atomic = False in this migration."),
        is_error=True,
    )


def irreversible(words: str) -> Reason:
    """A step that has no way back."""
    return Reason(
        "irreversible",
        Risk.MEDIUM,
        _("There is no way back from: %(words)s. Only a copy or a backup leads back.")
        % {"words": words},
        _("Say how it is undone (reverse_code, reverse_sql), or that there is nothing to undo."),
    )


def of_rows(table: Table, name: str, *, count: int, held: float) -> Iterator[Reason]:
    """What it does to those who change the same rows, by the seconds until these are let go."""
    if connection.vendor == "sqlite" or not count or held <= PAUSE:
        return
    yield Reason(
        "locks-rows",
        Risk.HIGH if held > WRITERS_PAUSE else Risk.MEDIUM,
        _(
            "Up to %(count)d rows of %(table)s are locked for about %(seconds).1f s: who changes "
            "one of them waits."
        )
        % {"table": name, "count": count, "seconds": held},
        _("Change them in batches, in a migration with atomic = False."),
    )


def checks_wait(name: str, *, is_certain: bool) -> Reason:
    """A table that is altered while its foreign keys wait to be checked."""
    return Reason(
        "pending-checks",
        Risk.HIGH if is_certain else Risk.MEDIUM,
        _(
            "%(table)s is altered in the transaction that changed rows whose foreign keys are "
            "checked at its end: PostgreSQL refuses that."
        )
        % {"table": name},
        _("Make two migrations of it."),
        is_error=is_certain,
    )


def own_sql(words: str) -> Reason:
    """A function with statements of its own."""
    return Reason(
        "unknown-statement",
        Risk.MEDIUM,
        _("This function has SQL of its own, which is not known here: %(words)s.")
        % {"words": words},
        _("Read it, and try it on a copy."),
    )


def data_and_schema() -> Reason:
    """Rows and tables changed in one transaction."""
    return Reason(
        "data-and-schema",
        Risk.MEDIUM,
        _("Rows and tables are changed in one transaction: locks last as long as the rows take."),
        _("Make two migrations of it."),
    )


def unknown_length(words: str) -> Reason:
    """A function of which nobody knows how long it takes."""
    return Reason(
        "unknown-length",
        Risk.LOW,
        _("How long this takes is not known, or only roughly: %(words)s.") % {"words": words},
        _("A dry run measures it."),
    )


def uncollected(words: str, problem: str, *, is_impossible: bool = False) -> Reason:
    """A step whose statements could not be written ahead; or that no models allow."""
    return Reason(
        "uncollected",
        Risk.HIGH if is_impossible else Risk.MEDIUM,
        _("The statements of this step could not be written ahead: %(words)s (%(problem)s).")
        % {"words": words, "problem": problem},
        _("Try it on a copy."),
        is_error=is_impossible,
    )
