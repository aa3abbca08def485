"""OpenAPI: what a view says about its data, seen through the envelope."""

from datetime import timedelta
from typing import Any, override

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework.serializers import ListSerializer

from ops.api.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from ops.models.idempotency import LONGEST_KEY
from ops.services.idempotency import KEPT_FOR

PAGE_PARAMETERS = (
    OpenApiParameter(
        "cursor", str, description="`next` of the page before; empty for the first page."
    ),
    OpenApiParameter(
        "page_size",
        int,
        default=DEFAULT_PAGE_SIZE,
        description=f"Over {MAX_PAGE_SIZE} is taken as {MAX_PAGE_SIZE}.",
    ),
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description=f"1 to {LONGEST_KEY} visible ASCII characters. The same key and body within "
    f"{KEPT_FOR // timedelta(hours=1)} hours get the first answer again.",
)
REFUSAL: dict[str, Any] = {
    "description": "A refusal. `code` says which one, `msg` is for people.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["code", "msg", "data"],
                "properties": {
                    "code": {"type": "integer", "minimum": 1000, "maximum": 9999},
                    "msg": {"type": "string"},
                    "data": {"type": "object", "nullable": True, "additionalProperties": True},
                },
            }
        }
    },
}


class EnvelopeSchema(AutoSchema):
    """Wraps every documented answer into the envelope; `many=True` is a page of a list."""

    @override
    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    @override
    def get_operation_id(self) -> str:
        words = self.path.removeprefix("/api/").replace("{", "").replace("}", "")
        return f"{self.method.lower()}_{words.replace('/', '_')}"

    @override
    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self._answers_a_page():
            parameters += PAGE_PARAMETERS
        if self.method == "POST" and getattr(self.view, "honours_idempotency_key", False):
            parameters.append(IDEMPOTENCY_KEY)
        return parameters

    @override
    def get_request_serializer(self) -> Any:
        if self._answers_once():
            return self.view.shape  # type: ignore[attr-defined]
        return super().get_request_serializer()

    @override
    def get_response_serializers(self) -> Any:
        if self._answers_once():
            return self.view.answer  # type: ignore[attr-defined]
        return super().get_response_serializers()

    def _answers_once(self) -> bool:
        # Imported here: views need this module, through the settings.
        from ops.api.views import AnswerOnceView

        return self.method == "POST" and isinstance(self.view, AnswerOnceView)

    @override
    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        operation["responses"]["default"] = REFUSAL
        return operation

    @override
    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        bodies = super()._get_response_bodies(*args, **kwargs)
        # Whatever REST would have it be (201, 204), a success is a 200 with the envelope.
        answer = next(iter(bodies.values()))
        data = answer.get("content", {}).get("application/json", {}).get("schema")
        if data is not None and self._answers_a_page():
            data = page_of(data)
        schema = enveloped(data or {"nullable": True})
        return {"200": {**answer, "content": {"application/json": {"schema": schema}}}}

    def _answers_a_page(self) -> bool:
        answer = self.get_response_serializers()
        return isinstance(answer, ListSerializer)


def page_of(items: dict[str, Any]) -> dict[str, Any]:
    """The schema of one page of a list."""
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {"items": items, "next": {"type": "string", "nullable": True}},
    }


def enveloped(data: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer whose `data` has this schema."""
    return {
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {
            "code": {"type": "integer", "enum": [0]},
            "msg": {"type": "string"},
            "data": data,
        },
    }
