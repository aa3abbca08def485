"""OpenAPI: what a view says about its data, seen through the envelope."""

from typing import Any, override

from drf_spectacular.openapi import AutoSchema


class EnvelopeSchema(AutoSchema):
    """Wraps every documented answer into the envelope and adds the form of a refusal."""

    @override
    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    @override
    def _get_response_for_code(self, *args: Any, **kwargs: Any) -> Any:
        response = super()._get_response_for_code(*args, **kwargs)  # type: ignore[no-untyped-call]
        for content in response.get("content", {}).values():
            content["schema"] = enveloped(content["schema"])
        return response


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
