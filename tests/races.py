"""Many threads at once, and the same with a lock or a constraint taken away."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

from django.db import connection

from ops.errors import DomainError
from tests.ledgers import past_the_triggers

RACERS = 50


def race(attempts):
    """Run all attempts at once; returns what each returned or raised."""
    start = threading.Barrier(len(attempts))

    def run(attempt):
        start.wait(30)
        with closing(connection):
            try:
                return attempt()
            except Exception as error:  # noqa: BLE001  the test looks at every outcome
                return error

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(run, attempts))


def race_numbered(attempt, *, racers=RACERS):
    """Run `attempt(number)` so many times at once; refusals are outcomes, failures are raised."""
    outcomes = race([partial(attempt, number) for number in range(racers)])
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, DomainError):
            raise outcome
    return outcomes


def kinds(outcomes):
    """How often each type was among the outcomes."""
    return Counter(map(type, outcomes))


class Unlocked:
    """Rows read without a lock; everybody goes on once everybody has read."""

    def __init__(self, rows, together):
        self.rows, self.together = rows.order_by("pk"), together

    def _together(self, read):
        self.together.wait(30)
        return read

    def __iter__(self):
        return iter(self._together(list(self.rows)))

    def __getitem__(self, slice_):
        return self._together(list(self.rows[slice_]))

    def get(self, **which):
        return self._together(self.rows.get(**which))


def take_lock_away(monkeypatch, queryset_class, number):
    """Make `locked()` read without a lock, for a race of so many threads."""
    together = threading.Barrier(number)
    monkeypatch.setattr(queryset_class, "locked", lambda rows: Unlocked(rows, together))


@contextmanager
def without_constraint(model, name):
    """Drop a constraint for a while; what it would have refused is thrown away afterwards."""
    (constraint,) = [one for one in model._meta.constraints if one.name == name]
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        with connection.cursor() as cursor, past_the_triggers(cursor):
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)
