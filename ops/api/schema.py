"""OpenAPI: what a view says about its data, seen through the envelope.

Built once for a process and never in a request's language: two clients that are generated from it
must be equal.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, override

from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import safe_ref
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import DecimalField, Field, ListSerializer
from uritemplate import variables

from ops.api import refusals
from ops.api.fields import IDENTIFIER, IdentifierField
from ops.api.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from ops.api.refusals import Refusal
from ops.errors import ValidationFailed
from ops.models.idempotency import LONGEST_KEY
from ops.services.idempotency import KEPT_FOR

CURSOR: dict[str, Any] = {"type": "string", "maxLength": 1000}
PAGE_PARAMETERS = (
    OpenApiParameter(
        "cursor", CURSOR, description="`next` of the page before; empty for the first page."
    ),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE},
        default=DEFAULT_PAGE_SIZE,
        description=f"Over {MAX_PAGE_SIZE} is taken as {MAX_PAGE_SIZE}.",
    ),
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description=f"1 to {LONGEST_KEY} visible ASCII characters. The same key and body within "
    f"{KEPT_FOR // timedelta(hours=1)} hours get the first answer again.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    {"type": "string", "examples": ['"6f1ed002ab5595859014ebf0951522d9"']},
    OpenApiParameter.HEADER,
    description="An `ETag` of this address: 304 without a body if it still is that. For strangers.",
)
REQUEST_ID: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "pattern": "^[A-Za-z0-9._-]+$",
    "examples": ["5e0d6c8b1f7a4c0e9d3b2a1908f7e6d5"],
}
HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The request's own when it was well formed. The logs carry the same.",
        "required": True,
        "schema": REQUEST_ID,
    },
    "Retry-After": {
        "description": "Seconds until trying again makes sense.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "examples": [12]},
    },
    "ETag": {
        "description": "Of these bytes; strangers get one. The answer may be kept, and is asked "
        "about with `If-None-Match` each time.",
        "schema": {"type": "string", "examples": ['"6f1ed002ab5595859014ebf0951522d9"']},
    },
    "Idempotent-Replay": {
        "description": "`true` where this is the first answer to the key, given again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
PARAMETERS: dict[str, Any] = {
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Names the request in the answer and in the logs; one is made without it.",
        "schema": REQUEST_ID,
    },
    "Accept-Language": {
        "name": "Accept-Language",
        "in": "header",
        "description": "The language of every `msg` and of texts for people.",
        "schema": {"type": "string", "default": "zh-hans", "examples": ["en"]},
    },
}
WRITING = {"POST", "PUT", "PATCH", "DELETE"}


class EnglishGenerator(SchemaGenerator):
    """The framework's, in English whoever asks."""

    @override
    def get_schema(self, *args: Any, **kwargs: Any) -> Any:
        with translation.override("en"):
            return super().get_schema(*args, **kwargs)  # type: ignore[no-untyped-call]


class EnvelopeSchema(AutoSchema):
    """Wraps every documented answer into the envelope; `many=True` is a page of a list."""

    view: Any

    # --- What it is called ----------------------------------------------------------------------
    @override
    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    @override
    def get_operation_id(self) -> str:
        words = self.path.removeprefix("/api/").replace("{", "").replace("}", "")
        return f"{self.method.lower()}_{words.replace('/', '_')}"

    @override
    def get_summary(self) -> str:
        first, *_rest = re.split(r"[.:;]", self.get_description(), maxsplit=1)
        return " ".join(first.split())

    @override
    def get_auth(self) -> list[Any]:
        schemes = super().get_auth()
        is_open = not self.view.get_permissions()
        return [*schemes, {}] if schemes and is_open else schemes

    @override
    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        operation.setdefault("parameters", []).extend(
            {"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS
        )
        operation["security"] = self.get_auth()
        operation["responses"] |= refusals.responses_of(self._refusals(), self.registry)
        return operation

    # --- What it takes --------------------------------------------------------------------------
    @override
    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = [
            OpenApiParameter(name, IDENTIFIER, OpenApiParameter.PATH)
            for name in variables(self.path)
        ]
        parameters += super().get_override_parameters()
        if self._answers_a_page():
            parameters += PAGE_PARAMETERS
        if self._honours_a_key():
            parameters.append(IDEMPOTENCY_KEY)
        if self._is_kept():
            parameters.append(IF_NONE_MATCH)
        return parameters

    @override
    def get_request_serializer(self) -> Any:
        if self._answers_once():
            return self.view.shape
        return super().get_request_serializer()

    def _honours_a_key(self) -> bool:
        return self.method == "POST" and getattr(self.view, "honours_idempotency_key", False)

    def _is_kept(self) -> bool:
        return self.method == "GET" and getattr(self.view, "is_kept", False)

    def _answers_once(self) -> bool:
        # Imported here: views need this module, through the settings.
        from ops.api.views import AnswerOnceView

        return self.method == "POST" and isinstance(self.view, AnswerOnceView)

    @override
    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(  # type: ignore[no-untyped-call]
            serializer, direction
        )
        fields = (serializer() if isinstance(serializer, type) else serializer).fields
        if direction == "response":
            # An answer has all of its fields, whatever a field would let a request leave out.
            schema["required"] = list(schema["properties"])
            schema["properties"] = {
                name: _answered(said, fields[name]) for name, said in schema["properties"].items()
            }
            return schema
        for name, field in fields.items():
            if isinstance(field, IdentifierField) and field.is_needed:
                schema["properties"][name] |= IDENTIFIER
                schema["required"] = sorted({*schema.get("required", []), name})
        schema["properties"] = {name: _asked(said) for name, said in schema["properties"].items()}
        return schema

    # --- What it answers ------------------------------------------------------------------------
    @override
    def get_response_serializers(self) -> Any:
        if self._answers_once():
            return self.view.answer
        return super().get_response_serializers()

    @override
    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        bodies = super()._get_response_bodies(*args, **kwargs)
        # Whatever REST would have it be (201, 204), a success is a 200 with the envelope.
        answer = next(iter(bodies.values()))
        data = answer.get("content", {}).get("application/json", {}).get("schema")
        if data is not None and self._answers_a_page():
            data = page_of(data)
        headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
        if self._honours_a_key():
            headers["Idempotent-Replay"] = {"$ref": "#/components/headers/Idempotent-Replay"}
        unchanged: dict[str, Any] = {}
        if self._is_kept():
            headers["ETag"] = {"$ref": "#/components/headers/ETag"}
            unchanged["304"] = {"description": "The client has these bytes.", "headers": headers}
        return {
            "200": {
                "description": "It is done." if self.method in WRITING else "Here it is.",
                "headers": headers,
                "content": {"application/json": {"schema": enveloped(data or {"type": "null"})}},
            },
            **unchanged,
        }

    def _answers_a_page(self) -> bool:
        answer = self.get_response_serializers()
        return isinstance(answer, ListSerializer)

    def _refusals(self) -> Iterator[Refusal]:
        """All that this operation may refuse with: of its own, and of what kind it is."""
        yield from refusals.OF_ALL
        view = self.view
        own = getattr(view, "refusals", ())
        yield from own.get(self.method, ()) if isinstance(own, dict) else own
        if authenticators := view.get_authenticators():
            yield from refusals.OF_PEOPLE
        for guard in (*authenticators, *view.get_permissions()):
            yield from getattr(guard, "refusals", ())
        if self.method in WRITING:
            yield from refusals.OF_BODIES
        for shape in self._shapes():
            yield ValidationFailed
            yield from getattr(shape, "refusals", {}).values()
        if self._honours_a_key():
            yield from refusals.OF_KEYS
            if getattr(view, "may_demand_key", True):
                yield from refusals.OF_DEMANDED_KEYS

    def _shapes(self) -> Iterator[Any]:
        """The shapes that are read: of the body, of the query, of the page."""
        has_body = self.method in WRITING - {"DELETE"}
        body = self.get_request_serializer() if has_body else None
        yield from body.values() if isinstance(body, dict) else [body] if body else []
        for parameter in self.get_override_parameters():
            if parameter in PAGE_PARAMETERS or not isinstance(parameter, OpenApiParameter):
                yield parameter


def _asked(said: dict[str, Any]) -> dict[str, Any]:
    """What is said of a field of a request, its default in words.

    Generators of clients take a field with a `default` for one that is always there.
    """
    if "default" not in said:
        return said
    said = dict(said)
    default = said.pop("default")
    left_out = [f"Left out: {json.dumps(default)}."] if default != "" else []
    words = " ".join([*([said["description"]] if "description" in said else []), *left_out])
    return safe_ref(said | ({"description": words} if words else {}))


def _answered(said: dict[str, Any], field: Field[Any, Any, Any, Any]) -> dict[str, Any]:
    """What is said of a field of an answer, without what means something in requests alone."""
    said = {word: value for word, value in said.items() if word not in {"readOnly", "default"}}
    if isinstance(field, DecimalField):
        said["pattern"] = rf"^[0-9]+\.[0-9]{{{field.decimal_places}}}$"
    return safe_ref(said)


def page_of(items: dict[str, Any]) -> dict[str, Any]:
    """The schema of one page of a list."""
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": items,
            "next": {
                "type": ["string", "null"],
                "description": "The `cursor` of the next page; null on the last one.",
            },
        },
    }


def enveloped(data: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer whose `data` has this schema."""
    return {
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {
            "code": {"type": "integer", "const": 0},
            "msg": {"type": "string", "examples": ["success"]},
            "data": data,
        },
    }
