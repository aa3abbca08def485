"""How a body is read."""

from collections.abc import Iterable
from typing import Any, override

from django.utils.http import parse_header_parameters
from rest_framework import exceptions, parsers

UTF_8 = "utf-8"
DEEPEST_BODY = 32  # levels of a JSON body; what works on it may call itself once a level


class _OnlyUTF8(parsers.BaseParser):
    """A parser for which a body in any charset but UTF-8 is unreadable."""

    @override
    def parse(self, stream: Any, media_type: str | None = None, *args: Any, **kwargs: Any) -> Any:
        charset = parse_header_parameters(media_type or "")[1].get("charset", UTF_8)
        if charset.lower() not in {UTF_8, "utf8"}:
            raise exceptions.ParseError
        return super().parse(stream, media_type, *args, **kwargs)


class MultiPartParser(_OnlyUTF8, parsers.MultiPartParser):
    """DRF's parser for forms with files, of UTF-8 alone."""


class FormParser(_OnlyUTF8, parsers.FormParser):
    """DRF's parser for forms, of UTF-8 alone."""


class JSONParser(_OnlyUTF8, parsers.JSONParser):
    """DRF's parser, for which a body nested too deep is unreadable, not a failure later on."""

    @override
    def parse(self, stream: Any, media_type: str | None = None, *args: Any, **kwargs: Any) -> Any:
        try:
            body = super().parse(stream, media_type, *args, **kwargs)
        except RecursionError as error:
            raise exceptions.ParseError from error
        level = [body]
        for _depth in range(DEEPEST_BODY):
            level = [inner for outer in level for inner in _members(outer)]
            if not level:
                return body
        raise exceptions.ParseError


def _members(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()
