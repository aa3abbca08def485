"""The API documents as something to hold answers against: status, headers and body."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator, FormatChecker

from config.api_documents import documents

FORMATS = FormatChecker(("uuid",))
METHODS = ("get", "post", "patch", "put", "delete")


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: Any) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri")
def _is_address(value: Any) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@dataclass(frozen=True)
class Operation:
    """One operation of the documents."""

    name: str
    method: str
    path: str
    said: dict[str, Any]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        # What is written out wins over a variable: an id is a number, or a UUID.
        return re.compile(re.sub(r"\{\w+\}", "[^/]+", self.path) + r"\Z")

    @property
    def codes(self) -> set[int]:
        """The codes that it may refuse with."""
        return {
            code
            for status, response in self.said["responses"].items()
            if status not in {"200", "304"}
            for code in _codes(response["content"]["application/json"]["schema"])
        }

    @property
    def is_open(self) -> bool:
        """Whether a stranger is answered."""
        return not self.said["security"] or {} in self.said["security"]

    @property
    def takes_tokens(self) -> bool:
        return bool(self.said["security"])


@dataclass(frozen=True)
class Held:
    """An answer that is as the documents say."""

    operation: str
    status: int
    code: int | None


def _codes(schema: dict[str, Any]) -> set[int]:
    return {
        int(one["$ref"].removeprefix("#/components/schemas/Refusal"))
        for one in schema.get("oneOf", [schema])
        if "$ref" in one
    }


def operations() -> dict[str, Operation]:
    """Every operation, by its id."""
    found = [
        Operation(said["operationId"], method.upper(), path, said)
        for path, methods in documents()["paths"].items()
        for method, said in methods.items()
        if method in METHODS
    ]
    return {one.name: one for one in found}


def resolve(said: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to; the thing itself where it is none."""
    if "$ref" not in said:
        return said
    found = documents()
    for word in said["$ref"].removeprefix("#/").split("/"):
        found = found[word]
    return found


def check(value: Any, schema: dict[str, Any]) -> None:
    """See that a value has this schema, whose references lead into the documents."""
    whole = {**schema, "components": documents()["components"]}
    Draft202012Validator(whole, format_checker=FORMATS).validate(value)


def operation_at(method: str, path: str) -> Operation:
    """The operation that answers there; one whose path is written out before one with ids."""
    found = [
        one for one in operations().values() if one.method == method and one.pattern.match(path)
    ]
    return min(found, key=lambda one: one.path.count("{"))


def hold(response: Any) -> Held:
    """See that an answer is one that the documents name for its operation."""
    request = response.wsgi_request
    operation = operation_at(request.method, request.path)
    label = f"{operation.name} answered {response.status_code} {response.content[:300]!r}"
    assert str(response.status_code) in operation.said["responses"], label
    said = resolve(operation.said["responses"][str(response.status_code)])
    for name, header in said["headers"].items():
        rule = resolve(header)
        assert name in response.headers or not rule.get("required"), (label, name)
        if name in response.headers:
            text = response.headers[name]
            check(int(text) if rule["schema"]["type"] == "integer" else text, rule["schema"])
    for name in ("Retry-After", "Idempotent-Replay"):
        assert name in said["headers"] or name not in response.headers, (label, name)
    if response.status_code == 304:
        assert (said.keys() & {"content"}, response.content) == (set(), b""), label
        return Held(operation.name, 304, None)
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert media_type in said["content"], (label, media_type)
    body = json.loads(response.content) if media_type == "application/json" else None
    if body is None:
        yaml.safe_load(response.content)
        return Held(operation.name, response.status_code, None)
    check(body, said["content"][media_type]["schema"])
    return Held(operation.name, response.status_code, body.get("code"))
