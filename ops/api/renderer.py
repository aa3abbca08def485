"""The envelope: one form for every answer of the API."""

from collections.abc import Iterable, Mapping
from typing import Any, override

import orjson
from django.utils.functional import Promise
from rest_framework import negotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response


class EnvelopedResponse(Response):
    """An answer of a view that brings its own envelope: a refusal."""


def _plain(value: Any) -> Any:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value)} has no place in an answer")


def encode(value: Any) -> bytes:
    """Write `value` as JSON bytes; lazy translations become text."""
    return orjson.dumps(value, default=_plain)


def encode_success(data: Any) -> bytes:
    """Write a success in its envelope as JSON bytes."""
    return encode({"code": 0, "msg": "success", "data": data})


class EnvelopeRenderer(BaseRenderer):
    """Writes `{"code": 0, "msg": "success", "data": …}`; a refusal brings its own envelope."""

    media_type = "application/json"
    format = "json"

    @override
    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        response = (renderer_context or {})["response"]
        if isinstance(response, EnvelopedResponse):
            return encode(data)
        return encode_success(data)


class OnlyJSON(negotiation.BaseContentNegotiation):
    """Every answer is JSON whatever the client says it accepts: it must be able to read errors."""

    @override
    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        return negotiation.DefaultContentNegotiation().select_parser(request, parsers)

    @override
    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
