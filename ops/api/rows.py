"""Lists as clients read them, written from the columns of their rows.

A list is long and read again and again: an instance for each row and a serializer over it took most
of the time of a page. So a list names its columns, and one function beside them makes its items.
The API documents read the serializer of a single row; tests/test_lists_as_documented.py holds the
two together.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework.request import Request

type Row = Mapping[str, Any]
type Item = dict[str, Any]

_UTC = "+00:00"


class Writer:
    """Writes the values of one answer as the fields of serializers do.

    The time zone, scheme and host are looked up once, not for each value.
    """

    def __init__(self, request: Request) -> None:
        self._zone = timezone.get_current_timezone()
        self._request = request
        self._root: str = request.build_absolute_uri("/").removesuffix("/")

    def moment(self, value: datetime | None) -> str | None:
        """A time as a DateTimeField writes it: ISO 8601, in the time zone of the deployment."""
        if value is None:
            return None
        written = value.astimezone(self._zone).isoformat()
        return f"{written.removesuffix(_UTC)}Z" if written.endswith(_UTC) else written

    def decimal(self, value: Decimal | None) -> str | None:
        """A number as a DecimalField writes it, with the places of its column."""
        return None if value is None else f"{value:f}"

    def address(self, path: str) -> str:
        """An absolute address; what is absolute already stays as it is."""
        is_path = path.startswith("/") and not path.startswith("//")
        return self._root + path if is_path else self._request.build_absolute_uri(path)


def through(relation: str, columns: Collection[str]) -> list[str]:
    """These columns of the row that a relation leads to."""
    return [f"{relation}__{column}" for column in columns]


def rows_through(relation: str, columns: Collection[str], rows: Collection[Row]) -> Iterator[Row]:
    """The rows that a relation leads to, out of rows with their columns (`through`)."""
    names = list(zip(columns, through(relation, columns), strict=True))
    return ({column: row[name] for column, name in names} for row in rows)
