"""Which columns hold what not everybody may read: said once, by the model that has them.

Logs, audit diffs, exports, lists of the console and error pages go by this list and keep none of
their own.
"""

import json
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils.crypto import salted_hmac


class Kind(Enum):
    """How much of a value others may see."""

    MASKED = auto()  # its ends, as of a phone: in the console and in audit diffs
    PERSONAL = auto()  # in the console, to those who may see the row; nowhere else
    SECRET = auto()  # nowhere


def of(model: type[Model]) -> Mapping[str, Kind]:
    """The sensitive fields of a model, by name; nothing for one that declares none."""
    declared: Mapping[str, Kind] = getattr(model, "sensitive", {})
    return declared


def is_sensitive(model: type[Model], name: str) -> bool:
    """Whether the model declares this field, in whatever kind."""
    return name in of(model)


def path_is_sensitive(model: type[Model], path: str) -> bool:
    """Whether a path of names, as filters and searches write it, leads to a sensitive field.

    It goes through relations in both directions; what follows the field (a lookup, a key of JSON)
    does not matter, and neither does the sign that may stand before a path of `search_fields`.
    """
    at: Any = model
    for name in path.lstrip("^=@").split("__"):
        if is_sensitive(at, name):
            return True
        try:
            at = at._meta.get_field(name).related_model
        except FieldDoesNotExist:  # a lookup, or an annotation
            return False
        if at is None:
            return False
    return False


def masked(value: str) -> str:
    """A phone as others may see it, e.g. 138****8001; of a short one the last two digits."""
    if len(value) < 11:
        return f"****{value[-2:]}" if len(value) > 6 else "****"
    return f"{value[:3]}****{value[-4:]}"


def told(model: type[Model], name: str, value: Any) -> Any:
    """What may be kept of a value where others read it, as in an audit diff.

    A phone is masked. Of what is personal or secret stays a short keyed hash, which tells that a
    value changed, or came back, and nothing else. Nothing (None, an empty text) stays what it is,
    and so does the value of a field that is not declared.
    """
    kind = of(model).get(name)
    if kind is None or value is None or value == "":
        return value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    if kind is Kind.MASKED:
        return masked(text)
    # Django's own key: no row depends on it, for nobody ever needs these hashes computed again.
    salt = f"ops.sensitive {model._meta.label}.{name}"
    return f"#{salted_hmac(salt, text, algorithm='sha256').hexdigest()[:12]}"
