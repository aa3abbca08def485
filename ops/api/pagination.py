"""Lists in pages by key: each page starts where the last row of the page before stood.

The cost of a page does not grow with its depth, and rows added meanwhile shift nothing.
"""

import base64
import hmac
from collections.abc import Sequence
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db.models import BooleanField, F, Func, Model, Q, QuerySet, Value
from django.utils.translation import gettext as _
from rest_framework.request import Request

from ops.errors import ValidationFailed
from ops.services.encryption import keyed_hash, keyed_hashes

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
_TAG_BYTES = 16  # of the keyed hash; nobody guesses 128 bits


def _page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(DEFAULT_PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise ValidationFailed({"page_size": [_("A whole number from 1 on.")]})
    return min(int(text[:9]), MAX_PAGE_SIZE)


def _list_name(model: type[Model], ordering: Sequence[str]) -> str:
    """What tells the list apart, so that a cursor of another list is not taken for one of this."""
    return f"{model._meta.label} {' '.join(ordering)}"


def _tag(digest: str) -> bytes:
    return bytes.fromhex(digest)[:_TAG_BYTES]


def _encode(list_name: str, values: Sequence[Any]) -> str:
    """The key of a row, behind a tag that only we can make: what a client changes is no cursor."""
    key = orjson.dumps(values)
    tag = _tag(keyed_hash("cursor", f"{list_name} {key.decode()}"))
    return base64.urlsafe_b64encode(tag + key).decode().rstrip("=")


def _decode(cursor: str, *, list_name: str, model: type[Model], fields: Sequence[str]) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        read = base64.b64decode(padded, altchars=b"-_", validate=True)
        tag, key = read[:_TAG_BYTES], read[_TAG_BYTES:]
        made = keyed_hashes("cursor", f"{list_name} {key.decode()}")
        if not any(hmac.compare_digest(tag, _tag(digest)) for digest in made):
            raise ValueError(cursor)  # noqa: TRY301  one way out, whatever is wrong
        # Ours, but perhaps from before a field of the ordering became another one.
        return [
            model._meta.get_field(field).clean(value, None)  # type: ignore[union-attr]
            for field, value in zip(fields, orjson.loads(key), strict=True)
        ]
    except (ValueError, ValidationError) as error:
        raise ValidationFailed({"cursor": [_("This is not a cursor of this list.")]}) from error


class _Row(Func):
    """Several values as one, which are compared one after the other: (a, b)."""

    template = "(%(expressions)s)"
    output_field = BooleanField()  # of no meaning: what is compared is what it holds


class _Compared(_Row):
    """Two rows beside each other, with a sign for `arg_joiner`: ((a, b) > (x, y)).

    An index over the columns begins a page exactly at its first row. The same said with OR, a > x
    or (a = x and b > y), is a filter: for a deep page it reads every row before it.
    """


def _after(model: type[Model], ordering: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows behind the given key in this ordering."""
    directions = {name.startswith("-") for name in ordering}
    fields = [name.removeprefix("-") for name in ordering]
    if len(directions) == 1 and len(fields) > 1:
        key = _Row(
            *(
                Value(value, output_field=model._meta.get_field(field))  # type: ignore[arg-type]
                for field, value in zip(fields, values, strict=True)
            )
        )
        sign = " < " if directions == {True} else " > "
        return Q(_Compared(_Row(*map(F, fields)), key, arg_joiner=sign))
    # (a, -b): a > x or (a = x and b < y), and a >= x besides, where an index can begin.
    behind, same = Q(), Q()
    for name, field, value in zip(ordering, fields, values, strict=True):
        comparison = "lt" if name.startswith("-") else "gt"
        behind |= same & Q(**{f"{field}__{comparison}": value})
        same &= Q(**{field: value})
    if len(fields) > 1:
        begins = "lte" if ordering[0].startswith("-") else "gte"
        behind &= Q(**{f"{fields[0]}__{begins}": values[0]})
    return behind


def cursor_behind(row: Model, *, ordering: Sequence[str] = ("-id",)) -> str:
    """The cursor of the page that begins behind this row, in a list ordered like this."""
    fields = [name.removeprefix("-") for name in ordering]
    return _encode(_list_name(type(row), ordering), [getattr(row, field) for field in fields])


def page[Row](
    request: Request, rows: QuerySet[Any, Row], *, ordering: Sequence[str] = ("-id",)
) -> tuple[list[Row], str | None]:
    """Return one page of `rows` and the cursor of the next one, None on the last page.

    The rows are instances, or dicts of columns (`values`) that have those of the ordering.
    `ordering` names concrete fields of the model, ends in a unique one, and is the same on every
    page. Raises ValidationFailed (1011) naming `cursor` or `page_size`.
    """
    size = _page_size(request)
    fields = [name.removeprefix("-") for name in ordering]
    list_name = _list_name(rows.model, ordering)
    if cursor := request.query_params.get("cursor", ""):
        last_key = _decode(cursor, list_name=list_name, model=rows.model, fields=fields)
        rows = rows.filter(_after(rows.model, ordering, last_key))
    found = list(rows.order_by(*ordering)[: size + 1])
    if len(found) <= size:
        return found, None
    last: Any = found[size - 1]
    key = [last[field] if isinstance(last, dict) else getattr(last, field) for field in fields]
    return found[:size], _encode(list_name, key)
