"""The plan: what waits, what it does to whom and for how long, and what it risks.

To make one changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db import connection

from ops.safe_migrate import rules
from ops.safe_migrate.collecting import Collected, Step, Waiting, collect, waiting
from ops.safe_migrate.estimate import seconds, seconds_by_python, seconds_of_the_check
from ops.safe_migrate.locks import WHOLE_FILE, Lock, Mode, locks
from ops.safe_migrate.looks import look, matching, reading_only
from ops.safe_migrate.rules import Reason, Risk
from ops.safe_migrate.statements import ALTERS, CHANGES_ROWS, Action, Kind, fold, read
from ops.safe_migrate.tables import Table, Tables

_COMMIT = 0.003  # seconds

# Seconds that a dry run measured, by the name of a migration and the number of its step.
type Measured = Mapping[tuple[str, int], float]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock, and for how many seconds it is held."""

    lock: Lock
    seconds: float


@dataclass(slots=True)
class PlannedStep:
    """An operation of a migration with its seconds."""

    step: Step
    seconds: float = 0.0
    is_measured: bool = False


@dataclass(slots=True)
class PlannedMigration:
    """A migration with all that is known of it before it runs."""

    collected: Collected
    steps: list[PlannedStep]
    reasons: list[Reason] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    check_seconds: float = 0.0  # of what Django does at its end
    tables: list[Table] = field(default_factory=list)

    @property
    def name(self) -> str:
        """App and migration."""
        return f"{self.collected.app}.{self.collected.name}"

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        return _COMMIT + self.check_seconds + sum(planned.seconds for planned in self.steps)

    @property
    def risk(self) -> Risk:
        """The worst of its reasons."""
        return max((reason.risk for reason in self.reasons), default=Risk.LOW)

    @property
    def is_explained(self) -> bool:
        """Whether its risk is not high, or the migration says why it is accepted."""
        return self.risk < Risk.HIGH or bool(self.collected.accepted)

    def as_json(self) -> dict[str, object]:
        """The same for machines; seconds and bytes."""
        return {
            "app": self.collected.app,
            "name": self.collected.name,
            "atomic": self.collected.is_atomic,
            "reversible": all(planned.step.is_reversible for planned in self.steps),
            "operations": [_step_as_json(planned) for planned in self.steps],
            "tables": [_table_as_json(table) for table in self.tables],
            "locks": [
                {
                    "table": held.lock.table,
                    "mode": held.lock.mode.words,
                    "blocks_reads": held.lock.mode.holds_up_readers,
                    "blocks_writes": held.lock.mode.holds_up_writers,
                    "held_seconds": round(held.seconds, 3),
                }
                for held in self.held
            ],
            "estimated_seconds": round(self.seconds, 3),
            "risk": self.risk.word,
            "risk_accepted": self.collected.accepted,
            "reasons": [
                {
                    "rule": reason.rule,
                    "risk": reason.risk.word,
                    "error": reason.is_error,
                    "text": reason.text,
                    "remedy": reason.remedy,
                }
                for reason in self.reasons
            ],
        }


@dataclass(slots=True)
class Plan:
    """All migrations that wait."""

    migrations: list[PlannedMigration]

    @property
    def errors(self) -> list[str]:
        """Why it would fail, as the rows are now."""
        return [text for is_error, text in self._said() if is_error]

    @property
    def warnings(self) -> list[str]:
        """What else speaks against it."""
        return [text for is_error, text in self._said() if not is_error]

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        return sum(migration.seconds for migration in self.migrations)

    @property
    def risk(self) -> Risk:
        """The worst of all."""
        return max((migration.risk for migration in self.migrations), default=Risk.LOW)

    @property
    def unexplained(self) -> list[str]:
        """Migrations of high risk that do not say why it is accepted."""
        return [one.name for one in self.migrations if not one.is_explained]

    def is_valid(self, *, fail_on_high: bool = False) -> bool:
        """Whether it may run: no errors, and on demand no high risk that is not explained."""
        return not self.errors and not (fail_on_high and self.unexplained)

    def as_json(self, *, fail_on_high: bool = False) -> dict[str, object]:
        """The same for machines."""
        return {
            "valid": self.is_valid(fail_on_high=fail_on_high),
            "errors": self.errors,
            "warnings": self.warnings,
            "estimated_seconds": round(self.seconds, 3),
            "risk": self.risk.word,
            "database": connection.vendor,
            "migrations": [migration.as_json() for migration in self.migrations],
        }

    def _said(self) -> Iterator[tuple[bool, str]]:
        for migration in self.migrations:
            for reason in migration.reasons:
                if reason.risk:
                    yield reason.is_error, f"{migration.name}: {reason.text}"


def make_plan(waits: Waiting | None = None, *, measured: Measured | None = None) -> Plan:
    """Plan the migrations that wait, or these; what a dry run measured stands for estimates.

    Nothing is changed: while it looks, the database refuses to write. Raises DatabaseError.
    """
    with reading_only():
        waits = waits or waiting()
        tables = Tables(waits.known())
        return Plan([_planned(one, tables, measured or {}) for one in collect(waits)])


# --- One migration --------------------------------------------------------------------------------
def _planned(collected: Collected, tables: Tables, measured: Measured) -> PlannedMigration:
    tables.touched = {}
    planned = PlannedMigration(collected, [PlannedStep(step) for step in collected.steps])
    course = _Course(planned, tables, measured)
    for reason in _of_steps(planned):
        course.add(reason)
    actions = fold([read(statement) if statement else [] for _n, statement in collected.order])
    for (number, _statement), done in zip(collected.order, actions, strict=True):
        if not done:
            course.run_python(number)
        for action in done:
            parts = tables.differences(action) if action.kind is Kind.REMAKE else []
            # What it demands is put to the rows as they are copied.
            for part in (action, *parts):
                course.run(number, part)
    course.end()
    planned.tables = [table for table in tables.touched.values() if not table.is_new]
    return planned


def _of_steps(planned: PlannedMigration) -> Iterator[Reason]:
    for step in planned.collected.steps:
        if not step.is_reversible:
            yield rules.irreversible(step.words)
        if step.is_python:
            yield rules.unknown_length(step.words)
        if step.has_own_sql:
            yield rules.own_sql(step.words)
        if step.problem:
            yield rules.uncollected(step.words, step.problem, is_impossible=step.is_impossible)


class _Course:
    """Goes through the actions of a migration, and keeps what it meets on the way."""

    def __init__(self, planned: PlannedMigration, tables: Tables, measured: Measured) -> None:
        self.planned = planned
        self.tables = tables
        self.now = 0.0  # seconds since the migration began
        self.taken: dict[Lock, tuple[float, float]] = {}  # since when, and for how long alone
        self._begun: dict[int, float] = {}  # when steps that were measured began
        self.changes_rows: set[int] = set()  # steps
        self.changes_tables: set[int] = set()
        self.rows = _Rows(self)
        for number, one in enumerate(planned.steps):
            if (known := measured.get((planned.name, number))) is not None:
                one.seconds, one.is_measured = known, True

    def add(self, reason: Reason | None) -> None:
        """Keep a reason, once."""
        if reason and reason not in self.planned.reasons:
            self.planned.reasons.append(reason)

    def run(self, number: int, action: Action) -> None:
        """An action of a step."""
        is_atomic = self.planned.collected.is_atomic
        for reason in rules.reasons(action, self.tables, look(action, self.tables)):
            self.add(reason)
        if action.table:
            self.add(rules.blocking_index(action, self.tables.at(action.table)))
        if action.is_concurrent and is_atomic:
            self.add(rules.not_in_a_transaction(action))
        taken = locks(action, self.tables)
        if action.kind in CHANGES_ROWS:
            self.changes_rows.add(number)
        elif any(lock.mode.holds_up_writers for lock in taken):
            self.changes_tables.add(number)
        meant = matching(action, self.tables)
        takes = seconds(action, self.tables, meant)
        self.rows.run(action, meant, takes)
        self._pass(number, takes, taken)
        self.tables.go_on(action)

    def run_python(self, number: int) -> None:
        """A function of a step."""
        step = self.planned.steps[number].step
        self.changes_rows.add(number)
        touched = [self.tables.at(name) for name in step.tables]
        on = [Lock(name, Mode.ROW_EXCLUSIVE) for name in step.tables]
        if connection.vendor == "sqlite":
            on = [Lock(WHOLE_FILE, Mode.EXCLUSIVE)]
        takes = seconds_by_python(touched, is_row_by_row=step.is_row_by_row)
        self.rows.run_python(touched, takes, is_in_batches=step.is_in_batches)
        self._pass(number, takes, on)
        self.tables.all_changed(list(step.tables))

    def end(self) -> None:
        """Work out how long each lock is held, and what follows from it."""
        is_atomic = self.planned.collected.is_atomic
        # An AlterField that fills its own column is one step, and has no other way.
        if is_atomic and self.changes_tables and self.changes_rows - self.changes_tables:
            self.add(rules.data_and_schema())
        self.rows.end()
        self.planned.check_seconds = seconds_of_the_check(self.tables)
        self.now += self.planned.check_seconds
        longest: dict[str, float] = {}
        for lock in sorted(self.taken, key=lambda one: (one.table, -one.mode)):
            since, alone = self.taken[lock]
            held = self.now - since + _COMMIT if is_atomic else alone
            # A weaker one that ends with a stronger one says nothing more.
            if held <= longest.get(lock.table, -1.0):
                continue
            longest[lock.table] = held
            self.planned.held.append(Held(lock, held))
            table, name = self._named(lock)
            for reason in rules.of_lock(table, name, lock.mode, held=held):
                self.add(reason)

    def _named(self, lock: Lock) -> tuple[Table, str]:
        if lock.table == WHOLE_FILE:
            return Table(WHOLE_FILE), rules.whole_file()
        return self.tables.at(lock.table), lock.table

    def _pass(self, number: int, takes: float, taken: list[Lock]) -> None:
        planned = self.planned.steps[number]
        begun = self.now
        if planned.is_measured:
            # Which of its statements took them, nobody knows: its locks are held for all of them.
            begun = self._begun.setdefault(number, self.now)
            takes = planned.seconds
            self.now = begun
        else:
            planned.seconds += takes
        for lock in taken:
            since, alone = self.taken.get(lock, (begun, 0.0))
            self.taken[lock] = since, max(alone, takes)
        self.now += takes


class _Rows:
    """The rows that a migration changes: for how long they are locked, what of them waits."""

    def __init__(self, course: _Course) -> None:
        self.course = course
        self.is_atomic = course.planned.collected.is_atomic
        self.locked: dict[
            str, tuple[float, float, int]
        ] = {}  # since when, how long alone, how many
        self.waiting: dict[str, bool] = {}  # tables with checks at the end; whether it is certain

    def run(self, action: Action, meant: int | None, takes: float) -> None:
        """An action, that is done to so many rows."""
        if action.kind is Kind.CHECK_NOW:
            self.waiting.clear()
        if not action.table:
            return
        table = self.course.tables.at(action.table)
        count = table.rows if meant is None else meant
        if action.kind in {Kind.UPDATE, Kind.DELETE}:
            self._lock(action.table, takes, count)
        if action.table in self.waiting and action.kind in ALTERS:
            self.course.add(rules.checks_wait(action.table, is_certain=self.waiting[action.table]))
        is_late = {
            Kind.INSERT: bool(table.late),
            Kind.UPDATE: bool(table.late & set(action.columns)),
            Kind.DELETE: table.is_pointed_to_late,
        }
        if self.is_atomic and is_late.get(action.kind):
            is_certain = (action.kind is Kind.INSERT and not action.other) or bool(meant)
            self.waiting[action.table] = is_certain or self.waiting.get(action.table, False)

    def run_python(self, tables: list[Table], takes: float, *, is_in_batches: bool) -> None:
        """A function that changes rows of these tables, nobody knows which."""
        for table in tables:
            if self.is_atomic or not is_in_batches:
                self._lock(table.name, takes, table.rows)
            if self.is_atomic and (table.late or table.is_pointed_to_late):
                self.waiting.setdefault(table.name, False)

    def end(self) -> None:
        """Say for how long rows are locked."""
        for name, (since, alone, count) in self.locked.items():
            table = self.course.tables.at(name)
            held = self.course.now - since if self.is_atomic else alone
            if self.course.tables.is_in_use(name):
                for reason in rules.of_rows(table, name, count=count, held=held):
                    self.course.add(reason)

    def _lock(self, name: str, takes: float, count: int) -> None:
        since, alone, so_far = self.locked.get(name, (self.course.now, 0.0, 0))
        self.locked[name] = since, max(alone, takes), max(so_far, count)


# --- For machines ---------------------------------------------------------------------------------
def _step_as_json(planned: PlannedStep) -> dict[str, object]:
    step = planned.step
    return {
        "kind": step.kind,
        "words": step.words,
        "told": step.told,
        "reversible": step.is_reversible,
        "sql": step.statements,
        "python": step.is_python,
        "estimated_seconds": round(planned.seconds, 3),
        "measured": planned.is_measured,
    }


def _table_as_json(table: Table) -> dict[str, object]:
    return {
        "name": table.name,
        "rows": table.rows,
        "rows_exact": table.is_exact,
        "bytes": table.bytes,
        "index_bytes": table.index_bytes,
    }
