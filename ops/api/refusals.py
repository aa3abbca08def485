"""What an operation may refuse with, as the API documents say it: each status with its codes."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent, resolve_type_hint

from ops.api.exception_handler import error_body, error_headers
from ops.errors import (
    BodyTooLarge,
    DomainError,
    Failure,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    StillRunning,
    TooManyRequests,
    Unavailable,
    Unreadable,
    UnsupportedMediaType,
    ValidationFailed,
)

type Refusal = type[DomainError]

# Whatever is asked for.
OF_ALL: tuple[Refusal, ...] = (Failure, Unavailable)
# Where somebody may be signed in; the ways to sign in name what they refuse with themselves.
OF_PEOPLE: tuple[Refusal, ...] = (TooManyRequests,)
OF_BODIES: tuple[Refusal, ...] = (UnsupportedMediaType, Unreadable, BodyTooLarge)
OF_KEYS: tuple[Refusal, ...] = (ValidationFailed, IdempotencyKeyReused, StillRunning)
OF_DEMANDED_KEYS: tuple[Refusal, ...] = (IdempotencyKeyMissing,)


def responses_of(refusals: Iterable[Refusal], registry: ComponentRegistry) -> dict[str, Any]:
    """The responses of these refusals by status; registers a component for each code."""
    by_status: dict[int, list[Refusal]] = {}
    for refusal in sorted(set(refusals), key=lambda one: (one.status, one.code, one.__name__)):
        by_status.setdefault(refusal.status, []).append(refusal)
    return {
        str(status): _response(same_status, registry) for status, same_status in by_status.items()
    }


def _response(refusals: list[Refusal], registry: ComponentRegistry) -> dict[str, Any]:
    shapes = list({one.code: _component(one, registry).ref for one in refusals}.values())
    examples = {one.__name__: one(**one.example) for one in refusals}
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if error_headers(next(iter(examples.values()))):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    return {
        "description": "\n".join(f"- {one.code}: {one}" for one in examples.values()),
        "headers": headers,
        "content": {
            "application/json": {
                "schema": shapes[0] if len(shapes) == 1 else {"oneOf": shapes},
                "examples": {
                    name: {"summary": str(one.code), "value": error_body(one)}
                    for name, one in examples.items()
                },
            }
        },
    }


def _component(refusal: Refusal, registry: ComponentRegistry) -> ResolvedComponent:
    """The shape of a code. What says the same in other words is a subclass, and has its shape."""
    bases = [one for one in reversed(refusal.__mro__) if issubclass(one, DomainError)]
    said_first = next(one for one in bases if getattr(one, "code", None) == refusal.code)
    component = ResolvedComponent(  # type: ignore[no-untyped-call]
        name=f"Refusal{refusal.code}",
        type=ResolvedComponent.SCHEMA,
        object=said_first,
        schema={
            "type": "object",
            "description": str(said_first(**said_first.example)),
            "required": ["code", "msg", "data"],
            "properties": {
                "code": {"type": "integer", "const": refusal.code},
                "msg": {"type": "string", "description": "For people, in their language."},
                "data": data_of(said_first),
            },
        },
    )
    registry.register_on_missing(component)
    return component


def data_of(refusal: Refusal) -> dict[str, Any]:
    """The schema of what a refusal reveals."""
    if issubclass(refusal, ValidationFailed):
        reasons = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {
            "type": "object",
            "description": "By the name of the field why it cannot be taken.",
            "additionalProperties": reasons,
        }
    if not refusal.reveals:
        return {"type": "null"}
    return {
        "type": "object" if refusal.reveals_to_all else ["object", "null"],
        "required": list(refusal.reveals),
        "properties": {name: _type(hint) for name, hint in refusal.reveals.items()},
    }


def _type(hint: Any) -> dict[str, Any]:
    schema: dict[str, Any] = resolve_type_hint(hint)  # type: ignore[no-untyped-call]
    return schema
