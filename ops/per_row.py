"""Other values for each row in one UPDATE."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db.models import Case, Field, Value, When


def per_row(values: Mapping[Any, Any], *, output_field: Field[Any, Any] | None = None) -> Any:
    """What each row gets, by its primary key; for an UPDATE of just these rows.

    Equal values are named once, and one value for all needs no question at all: `bulk_update`,
    which names every value for every row, took five times the time for a hundred rows.
    """
    rows: defaultdict[Any, list[Any]] = defaultdict(list)
    for pk, value in values.items():
        rows[value].append(pk)
    if len(rows) == 1:
        (same,) = rows
        return Value(same, output_field=output_field)
    cases = [
        When(pk__in=pks, then=Value(value, output_field=output_field))
        for value, pks in rows.items()
    ]
    return Case(*cases, output_field=output_field)
