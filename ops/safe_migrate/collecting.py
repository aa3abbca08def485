"""What a migration would do, collected and not done: as `sqlmigrate` does it, step by step."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.migrations import Migration, RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from ops.safe_migrate.sql_text import statements

_ACCEPTED = re.compile(r"Risk accepted:[ \t]*\n?[ \t]*(\S.*?)(?:\n\s*\n|\Z)", re.DOTALL)
_SAVES = {"save", "create", "get_or_create", "update_or_create", "delete"}
_SAVES_EACH = {"bulk_update"}  # takes as long as if each were saved
_SAVES_SOME = {"update", "bulk_create", *_SAVES, *_SAVES_EACH}
_SPEAKS_SQL = {"execute", "cursor", "raw"}


@dataclass(slots=True)
class Step:
    """One operation of a migration."""

    kind: str  # the name of its class
    words: str
    is_reversible: bool
    statements: list[str] = field(default_factory=list)
    is_python: bool = False  # a function, whose statements nobody knows before
    is_row_by_row: bool = False
    is_in_batches: bool = False  # a few rows at a time
    has_own_sql: bool = False  # that stands in the function
    told: str = ""  # what the function says of itself
    tables: tuple[str, ...] = ()  # that the function names
    problem: str = ""  # why its statements could not be collected
    is_impossible: bool = False  # the models before it do not allow it


@dataclass(slots=True)
class Collected:
    """A migration with its steps; `order` has each statement with its step, as they will run."""

    app: str
    name: str
    is_atomic: bool
    accepted: str  # why a high risk is accepted, in the words of the migration
    steps: list[Step]
    order: list[tuple[int, str]]


@dataclass(slots=True)
class Waiting:
    """Migrations that are not applied, in their order, and the models before them."""

    state: ProjectState
    migrations: list[Migration]

    def known(self) -> dict[str, set[str]]:
        """The tables and columns that the version that runs now works with."""
        models = self.state.apps.get_models(include_auto_created=True)
        return {
            model._meta.db_table: {str(column.column) for column in model._meta.concrete_fields}
            for model in models
        }


def waiting() -> Waiting:
    """The migrations that wait in this database. Raises DatabaseError and what Django raises."""
    executor = MigrationExecutor(connection)
    loader = executor.loader
    targets = loader.graph.leaf_nodes()
    plan = executor.migration_plan(targets)
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for migration, _backwards in executor.migration_plan(targets, clean_start=True):
        if (migration.app_label, migration.name) in loader.applied_migrations:
            migration.mutate_state(state, preserve=False)
    return Waiting(state, [migration for migration, _backwards in plan])


def collect(waits: Waiting) -> Iterable[Collected]:
    """Each migration with its statements; the state goes on from one to the next."""
    state = waits.state
    for migration in waits.migrations:
        yield _collect(migration, state)


def _collect(migration: Migration, state: ProjectState) -> Collected:
    # It is not entered: that would begin a transaction, and on SQLite switch foreign keys off.
    editor: Any = connection.schema_editor(collect_sql=True, atomic=migration.atomic)
    editor.deferred_sql = []
    steps: list[Step] = []
    order: list[tuple[int, str]] = []
    owners: dict[int, int] = {}  # the step that put a statement off to the end

    def take(number: int) -> None:
        for text in editor.collected_sql:
            for statement in statements(text):
                steps[number].statements.append(statement)
                order.append((number, statement))
        editor.collected_sql.clear()

    for number, operation in enumerate(migration.operations):
        step = _step(operation, migration.app_label, state)
        steps.append(step)
        before = state.clone()
        try:
            step.is_impossible = True
            operation.state_forwards(migration.app_label, state)
            step.is_impossible = False
            if not step.is_python:
                operation.database_forwards(migration.app_label, editor, before, state)
        except Exception as error:  # noqa: BLE001  # operations may raise whatever they like
            step.problem = f"{type(error).__name__}: {error}"
        if step.is_python:
            order.append((number, ""))
        take(number)
        for put_off in editor.deferred_sql:
            owners.setdefault(id(put_off), number)
    for put_off in editor.deferred_sql:
        editor.execute(put_off, None)
        take(owners[id(put_off)])
    return Collected(
        app=migration.app_label,
        name=migration.name,
        is_atomic=migration.atomic,
        accepted=_accepted(migration),
        steps=steps,
        order=order,
    )


def _accepted(migration: Migration) -> str:
    module = sys.modules.get(type(migration).__module__)
    for text in (type(migration).__doc__, module and module.__doc__):
        if match := _ACCEPTED.search(text or ""):
            return " ".join(match[1].split())
    return ""


def _step(operation: Operation, app_label: str, state: ProjectState) -> Step:
    step = Step(
        kind=type(operation).__name__,
        words=str(operation.describe()),
        is_reversible=bool(operation.reversible),
    )
    if isinstance(operation, RunPython):
        step.is_python = True
        step.words = f"RunPython {getattr(operation.code, '__name__', '')}".strip()
        step.told = inspect.getdoc(operation.code) or ""
        _read_function(operation.code, step, state)
    else:
        step.is_python = _runs_python(operation)
    return step


def _runs_python(operation: Operation) -> bool:
    """Whether it would do its work while its statements are collected; its parts count."""
    parts = getattr(operation, "database_operations", ())
    return not operation.reduces_to_sql or any(_runs_python(part) for part in parts)


def _read_function(function: Any, step: Step, state: ProjectState) -> None:
    """Which models a function asks for by name, and whether it saves row by row."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return  # it was written where no file is
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            said = [*node.args, *(keyword.value for keyword in node.keywords)]
            words = [str(one.value) for one in said if isinstance(one, ast.Constant)]
            names = ".".join(words).split(".")
            if node.func.attr == "get_model" and len(names) == 2:
                named.add((names[0], names[1].lower()))
            step.has_own_sql |= node.func.attr in _SPEAKS_SQL
        step.is_row_by_row |= isinstance(node, ast.For) and _calls(node, _SAVES)
        step.is_in_batches |= isinstance(node, ast.For | ast.While) and _calls(node, _SAVES_SOME)
    step.is_row_by_row |= _calls(tree, _SAVES_EACH)
    step.tables = tuple(
        sorted(
            state.apps.get_model(app, name)._meta.db_table
            for app, name in named
            if (app, name) in state.models
        )
    )


def _calls(tree: ast.AST, names: set[str]) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(tree))
