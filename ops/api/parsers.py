"""How a body is read."""

from collections.abc import Iterable
from typing import Any, override

from rest_framework import exceptions, parsers

DEEPEST_BODY = 32  # levels of a JSON body; what works on it may call itself once a level


class JSONParser(parsers.JSONParser):
    """DRF's parser, for which a body nested too deep is unreadable, not a failure later on."""

    @override
    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            body = super().parse(*args, **kwargs)
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
