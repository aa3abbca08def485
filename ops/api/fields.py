"""Serializer fields that take what the contract says and nothing that merely looks like it."""

from typing import Any, override

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.settings import api_settings

from ops.identifiers import MAX_ID

# Where a body is named that has no fields, since it is no object.
NO_FIELD = api_settings.NON_FIELD_ERRORS_KEY
IDENTIFIER: dict[str, Any] = {"type": "integer", "format": "int64", "minimum": 1}


class WholeNumberField(serializers.IntegerField):
    """A JSON whole number. DRF would take "5", 5.0 and true as well."""

    @override
    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """A JSON string, taken as it is. DRF would take numbers and trim white space."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    @override
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class FlagField(serializers.BooleanField):
    """A JSON true or false. DRF would take "yes" and 1 as well."""

    @override
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field(IDENTIFIER)
class IdentifierTextField(serializers.CharField):
    """The id of something where all is text: in a query or a form."""


@extend_schema_field(IDENTIFIER)
class IdentifierField(serializers.Field[Any, Any, Any, Any]):
    """The id of something. Whatever cannot be one reads as None: it does not exist.

    Never an error of shape: "does not exist" has its own code and its own, later place in the
    order of refusals. `is_needed` tells clients to send it all the same.
    """

    def __init__(self, *, is_needed: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "allow_null": True, "default": None, **kwargs})
        self.is_needed = is_needed

    @override
    def to_internal_value(self, data: Any) -> int | None:
        is_id = isinstance(data, int) and not isinstance(data, bool) and 0 < data <= MAX_ID
        return data if is_id else None

    @override
    def to_representation(self, value: Any) -> Any:
        return value
