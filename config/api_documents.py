"""The API documents: what the views say of themselves, and what no view of the API could say."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.renderers import (
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.settings import spectacular_settings

from ops.api.refusals import responses_of
from ops.api.schema import HEADERS, PARAMETERS
from ops.errors import Failure, NotFound

# What is answered to a client that says nothing comes first.
FORMS = (OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2)
# By operation: a request, the data of its answer, and where its ids lead. One story through all.
EXAMPLES = Path(__file__).with_name("api_examples.yaml")

_CHECK = {
    "type": "object",
    "required": ["status", "detail", "milliseconds"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "failed"]},
        "detail": {"type": "string"},
        "milliseconds": {"type": ["number", "null"]},
    },
}


@cache
def documents(urlconf: str | None = None) -> dict[str, Any]:
    """The API as OpenAPI 3.1, in English, made once for a process."""
    generator = spectacular_settings.DEFAULT_GENERATOR_CLASS(urlconf=urlconf)
    result: dict[str, Any] = generator.get_schema(request=None, public=True)
    return result


@cache
def written(media_type: str, urlconf: str | None = None) -> bytes:
    """The documents in the form of this media type, one of those of `FORMS`."""
    (form,) = (one for one in FORMS if one.media_type == media_type)
    text: bytes = form().render(documents(urlconf), renderer_context={})
    return text


def complete(*, result: dict[str, Any], generator: Any, **_options: Any) -> dict[str, Any]:
    """Add headers, examples, links, and the addresses outside of the envelope; a hook."""
    components = result["components"]
    components["headers"] = HEADERS
    components["parameters"] = PARAMETERS
    refused = responses_of([Failure, NotFound], generator.registry)
    for response in _refusals_used(generator.registry):
        components["schemas"].setdefault(*response)
    result["paths"] |= {
        "/api/health": _health(
            "health",
            summary="Whether the platform can serve",
            words=("healthy", "unhealthy"),
            failed=refused["500"],
        ),
        "/api/ready": _health(
            "ready",
            summary="Whether this process should be sent requests",
            words=("ready", "not ready"),
            failed=refused["500"],
        ),
        "/api/schema": _schema(refused),
    }
    components["schemas"] = dict(sorted(components["schemas"].items()))
    result["paths"] = dict(sorted(result["paths"].items()))
    examples = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    for operations in result["paths"].values():
        for operation in operations.values():
            _add_example(operation, examples.get(operation["operationId"], {}))
    return result


def _refusals_used(registry: Any) -> list[tuple[str, Any]]:
    named = registry.build({}).get(ResolvedComponent.SCHEMA, {})
    return [(name, schema) for name, schema in named.items() if name.startswith("Refusal")]


def _add_example(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter.get("name") in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "request" in example:
            content["example"] = deepcopy(example["request"])
    answer = operation["responses"]["200"]
    for media_type, content in answer["content"].items():
        if "answer" in example and media_type == "application/json":
            is_enveloped = "data" in content["schema"].get("properties", {})
            envelope = {"code": 0, "msg": "success", "data": deepcopy(example["answer"])}
            content["example"] = envelope if is_enveloped else deepcopy(example["answer"])
    if "links" in example:
        answer["links"] = deepcopy(example["links"])


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _operation(name: str, **said: Any) -> dict[str, Any]:
    parameters = [{"$ref": f"#/components/parameters/{of_all}"} for of_all in PARAMETERS]
    return {
        "operationId": f"get_{name}",
        "tags": ["system"],
        "security": [],
        "parameters": parameters,
        **said,
    }


def _health(
    name: str, *, summary: str, words: tuple[str, str], failed: dict[str, Any]
) -> dict[str, Any]:
    def answer(word: str, description: str, *headers: str) -> dict[str, Any]:
        status = {"type": "string", "const": word}
        checks = {
            "type": "object",
            "description": "By name; for platform staff and loopback alone.",
            "additionalProperties": _CHECK,
        }
        shape = {
            "type": "object",
            "required": ["status"],
            "properties": {"status": status, "checks": checks},
        }
        return {
            "description": description,
            "headers": _headers("X-Request-ID", *headers),
            "content": {"application/json": {"schema": shape, "example": {"status": word}}},
        }

    good, bad = words
    responses = {
        "200": answer(good, "It is."),
        "500": failed,
        "503": answer(bad, "It is not: a dependency is away.", "Retry-After"),
    }
    description = f"{summary}; answers within 2 seconds. Not in the envelope."
    return {"get": _operation(name, summary=summary, description=description, responses=responses)}


def _schema(refused: dict[str, Any]) -> dict[str, Any]:
    yaml_text = {"schema": {"type": "string", "description": "The same as YAML."}}
    document = {
        "type": "object",
        "required": ["openapi", "info", "paths", "components"],
        "properties": {
            "openapi": {"type": "string", "examples": ["3.1.0"]},
            "info": {"type": "object", "additionalProperties": True},
            "paths": {"type": "object", "additionalProperties": True},
            "components": {"type": "object", "additionalProperties": True},
        },
        "additionalProperties": True,
    }
    answer = {
        "description": "An OpenAPI document, in English whatever `Accept-Language` says.",
        "headers": _headers("X-Request-ID"),
        "content": {
            "application/json": {"schema": document},
            "application/yaml": yaml_text,
            "application/vnd.oai.openapi": yaml_text,
        },
    }
    summary = "This document"
    return {
        "get": _operation(
            "schema",
            summary=summary,
            description=f"{summary}, as JSON, or as YAML for those who accept only that.",
            responses={"200": answer, **refused},
        )
    }
