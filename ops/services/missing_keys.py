"""What the start asks: does any row need a key that is not in the ring?"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.utils.translation import gettext as _

from ops.services import key_ring, key_uses
from ops.services.key_ring import Purpose
from ops.services.key_uses import UNKNOWN

logger = logging.getLogger(__name__)

UNNAMED = "unnamed"  # how LOST_KEYS calls the key of rows that name none


@dataclass(frozen=True, slots=True)
class MissingKey:
    """A key that is not in the ring, and how many rows of which columns need it."""

    purpose: Purpose
    name: str
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def is_lost(self) -> bool:
        """Whether the operator gave its rows up."""
        return self.name in settings.LOST_KEYS

    def sentence(self) -> str:
        """Say what is missing, who needs it and what to do."""
        rows = ", ".join(f"{column} ({count})" for column, count in self.rows.items())
        return _(
            "%(setting)s lacks the key %(key)s, and rows need it: %(rows)s. Put it back at the end "
            "of %(setting)s; manage.py rotate_keys says when it may go. If it is lost for good, "
            "LOST_KEYS=%(key)s gives these rows up."
        ) % {"setting": key_ring.SETTINGS[self.purpose], "key": self.name, "rows": rows}


def missing_keys() -> list[MissingKey]:
    """The keys that rows need and the ring has not; one counting query for each column.

    What is not migrated yet is left out. Raises OperationalError when the database is away.
    """
    found: dict[tuple[Purpose, str], MissingKey] = {}
    for column in _columns_there():
        use = key_uses.columns[column]
        known = {key.id for key in key_ring.keys(use.purpose)}
        for key_id, count in use.count_by_key().items():
            if key_id not in known:
                name = UNNAMED if key_id == UNKNOWN else key_id
                key = MissingKey(use.purpose, name)
                found.setdefault((use.purpose, name), key).rows[column] = count
    return list(found.values())


def _columns_there() -> Iterator[str]:
    """The registered columns that the database has: a start may come before its migrations."""
    by_table = defaultdict(set)
    look = connection.introspection
    with connection.cursor() as cursor:
        there = set(look.table_names(cursor))
        for table in {use.model._meta.db_table for use in key_uses.columns.values()} & there:
            by_table[table] = {each.name for each in look.get_table_description(cursor, table)}
    for name, use in key_uses.columns.items():
        if use.column in by_table[use.model._meta.db_table]:
            yield name


def refuse_missing_keys() -> None:
    """Raise ImproperlyConfigured when rows need a key that is not in the ring, with their count.

    A key in LOST_KEYS is logged instead, and so is a database that cannot be asked: the start goes
    on, and requests are answered with 1503 until it is back.
    """
    try:
        missing = missing_keys()
    except OperationalError as error:
        logger.warning("The keys could not be compared with the database: %s", error)
        return
    for key in missing:
        if key.is_lost:
            logger.warning("Given up with the key %s: %s", key.name, key.rows)
    if refused := [key.sentence() for key in missing if not key.is_lost]:
        raise ImproperlyConfigured("\n".join(refused))
