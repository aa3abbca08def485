"""Migrations that were not applied, and tables that are not what the migrations made."""

from collections.abc import Iterator

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.utils.translation import gettext as _

from ops.diagnosis import making, schema
from ops.diagnosis.findings import Finding, Severity
from ops.diagnosis.schema import Named, Schema, Table, plain

PART = "structure"


def look() -> Iterator[Finding]:
    """Compare the database with what the migrations make. Raises DatabaseError."""
    if newer := of_a_newer_version():
        # What it changed would be drift, and mended back.
        yield Finding(
            PART,
            "newer-version",
            Severity.WARNING,
            _("A newer version was here: %(names)s. Its tables are not compared.")
            % {"names": ", ".join(newer)},
            _("Run diagnose_db of that version."),
        )
        return
    waiting = unapplied()
    if waiting:
        # What they would make is missing for this reason; the rest is compared after them.
        yield Finding(
            PART,
            "unapplied-migrations",
            Severity.ERROR,
            _("%(count)d migrations were not applied: %(names)s")
            % {"count": len(waiting), "names": ", ".join(waiting)},
            _("Run: manage.py migrate"),
        )
        return
    due, found = schema.recorded(), schema.found()
    differences = list(drift(due, found))
    yield from differences
    if not differences:
        yield Finding(
            PART,
            "tables",
            Severity.GOOD,
            _("%(count)d tables are as the migrations made them") % {"count": len(due.tables)},
        )


def unapplied() -> list[str]:
    """The names of migrations that wait, in their order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def of_a_newer_version() -> list[str]:
    """The names of migrations that were applied, and that this version does not know."""
    loader = MigrationLoader(connection)
    unknown = set(loader.applied_migrations) - set(loader.disk_migrations)
    return sorted(f"{app}.{name}" for app, name in unknown if app in loader.migrated_apps)


def drift(due: Schema, found: Schema) -> Iterator[Finding]:
    """Where a schema is not as it is due; tables that nobody knows are left alone."""
    for name, table in due.tables.items():
        if name not in found.tables:
            yield _missing_table(name, due)
        else:
            yield from _of_table(name, table, found.tables[name], whole=due)
    lost = {one for one in due.tables if one not in found.tables}
    for name, said in due.functions.items():
        of_lost = any(name.startswith(one) for one in lost)
        if found.functions.get(name) != said and not of_lost:
            what = _("missing") if name not in found.functions else _("not as it was made")
            yield Finding(
                PART,
                "drifted-function",
                Severity.ERROR,
                _("The function %(name)s is %(what)s.") % {"name": name, "what": what},
                _("These statements make it again."),
                (said,),
                is_safe=True,
            )


def _missing_table(name: str, due: Schema) -> Finding:
    return Finding(
        PART,
        "missing-table",
        Severity.ERROR,
        _("The table %(table)s is missing.") % {"table": name},
        _("These statements make it again, empty; what stood in it is in the last backup."),
        making.make_table(name, due),
        is_safe=True,
    )


def _of_table(name: str, due: Table, found: Table, *, whole: Schema) -> Iterator[Finding]:
    if connection.vendor == "sqlite":
        yield from _columns_of_sqlite(name, due, found)
    else:
        yield from _columns(name, due.columns, found.columns)
        yield from _constraints(name, due.constraints, found.constraints)
    yield from _indexes(name, due.indexes, found.indexes)
    yield from _triggers(name, due.triggers, found.triggers, whole=whole)


def _columns(table: str, due: Named, found: Named) -> Iterator[Finding]:
    for column, said in due.items():
        if column not in found:
            yield Finding(
                PART,
                "missing-column",
                Severity.ERROR,
                _("The column %(column)s of %(table)s is missing.")
                % {"column": column, "table": table},
                _("This statement adds it; what stood in it is in the last backup."),
                (making.make_column(table, column, said),),
            )
        elif found[column] != said:
            yield Finding(
                PART,
                "drifted-column",
                Severity.ERROR,
                _("The column %(column)s of %(table)s is %(found)s and should be %(due)s.")
                % {"column": column, "table": table, "found": found[column], "due": said},
                _("Change it back (ALTER TABLE … ALTER COLUMN) after a backup."),
            )
    for column in found.keys() - due.keys():
        yield Finding(
            PART,
            "unknown-column",
            Severity.WARNING,
            _("The column %(column)s of %(table)s is in no migration.")
            % {"column": column, "table": table},
            _("An older or newer version may have left it; if nobody uses it, drop it by hand."),
        )


def _columns_of_sqlite(table: str, due: Table, found: Table) -> Iterator[Finding]:
    before = set()
    for one in _columns(table, due.columns, found.columns):
        before.add(one.name)
        yield one
    if due.sql != found.sql and not before:
        yield Finding(
            PART,
            "drifted-table",
            Severity.ERROR,
            _("The table %(table)s has other constraints than the migrations gave it.")
            % {"table": table},
            _("Restore the last backup beside it and compare, or make it again by hand as: %(sql)s")
            % {"sql": due.sql},
        )


def _constraints(table: str, due: Named, found: Named) -> Iterator[Finding]:
    for name, said in due.items():
        if name not in found:
            yield Finding(
                PART,
                "missing-constraint",
                Severity.ERROR,
                _("The constraint %(name)s of %(table)s is missing: rows could be wrong.")
                % {"name": name, "table": table},
                _("This statement adds it, unless rows are wrong by now: then it names one."),
                (making.make_constraint(table, name, said),),
                is_safe=True,
            )
        elif plain(found[name]) != plain(said):
            yield Finding(
                PART,
                "drifted-constraint",
                Severity.ERROR,
                _("The constraint %(name)s of %(table)s is %(found)s and should be %(due)s.")
                % {"name": name, "table": table, "found": found[name], "due": said},
                _("Drop it and add it again as it should be."),
            )


def _indexes(table: str, due: Named, found: Named) -> Iterator[Finding]:
    for name, said in due.items():
        if name in found and plain(found[name]) == plain(said):
            continue
        statement = making.make_index(said)
        is_unique = said.startswith("CREATE UNIQUE")
        if name in found:
            # One that is unique is a rule: between the two statements nothing would hold it.
            holds = is_unique or found[name].startswith("CREATE UNIQUE")
            yield Finding(
                PART,
                "drifted-index",
                Severity.ERROR if holds else Severity.WARNING,
                _("The index %(name)s of %(table)s is not as it was made: %(found)s")
                % {"name": name, "table": table, "found": found[name]},
                _("These statements make it again."),
                (f"DROP INDEX {connection.ops.quote_name(name)}", statement),
                is_safe=not holds,
            )
        else:
            yield Finding(
                PART,
                "missing-index",
                Severity.ERROR if is_unique else Severity.WARNING,
                _("The index %(name)s of %(table)s is missing.") % {"name": name, "table": table},
                _("This statement makes it again."),
                (statement,),
                is_safe=True,
            )


def _triggers(table: str, due: Named, found: Named, *, whole: Schema) -> Iterator[Finding]:
    for name, said in due.items():
        if found.get(name) != said:
            what = _("missing") if name not in found else _("not as it was made")
            yield Finding(
                PART,
                "missing-trigger",
                Severity.ERROR,
                _("The trigger %(name)s of %(table)s is %(what)s: rows could be altered.")
                % {"name": name, "table": table, "what": what},
                _("These statements make it again; then run: manage.py check_integrity"),
                making.make_trigger(name, table, whole),
                is_safe=True,
            )
