"""How many statements a request made, and which of them were slow, told by their form alone."""

import hashlib
import logging
import re
from collections.abc import Callable
from contextvars import ContextVar, Token
from time import perf_counter
from typing import Any

from django.conf import settings

from ops.logs.counts import QUERY_SECONDS, count

logger = logging.getLogger("queries.slow")
echo_logger = logging.getLogger("queries")

LONGEST_FORM = 2_000  # signs of a statement
_VERB = len("SELECT")  # all that are told apart have as many letters
_observe = QUERY_SECONDS.observe_late

_VALUES = re.compile(
    r"""
      /\*.*?\*/ | --[^\n]*                     # remarks
    | [eE]?'(?:[^'\\]|''|\\.)*'                # texts
    | \$(?P<tag>[a-zA-Z_]*)\$ .*? \$(?P=tag)\$
    | %\(\w+\)s | %s | \$\d+ | (?<![\w"])\?    # places of values
    | (?<![\w".])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
    """,
    re.VERBOSE | re.DOTALL,
)
_NAMES = re.compile(r'("?)\bs\d+_x\d+\1')  # of savepoints: there is one for every block
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"\(…\)(?:\s*,\s*\(…\))+")


# How many statements were made since `begin`: in a list, which whoever counts can change.
_tally: ContextVar[list[int] | None] = ContextVar("tally", default=None)


def begin() -> Token[list[int] | None]:
    """Count the statements that are made from here on, on whatever connection, until `end`."""
    return _tally.set([0])


def end(begun: Token[list[int] | None]) -> int:
    """How many statements there were since then."""
    (queries,) = _tally.get() or (0,)
    _tally.reset(begun)
    return queries


def watch(execute: Callable[..., Any], sql: Any, params: Any, *rest: Any) -> Any:
    """Django's hook around each statement: count it, and tell of one that was slow."""
    begun = perf_counter()
    try:
        return execute(sql, params, *rest)
    finally:
        seconds = perf_counter() - begun
        # psycopg has statements that are no texts; what is written by hand begins with a new line.
        _observe((seconds, sql.lstrip()[:_VERB] if type(sql) is str else "other"))
        tally = _tally.get()
        if tally is not None:
            tally[0] += 1
        if seconds >= settings.SLOW_QUERY_SECONDS:
            _tell(str(sql), seconds)


def echo(execute: Callable[..., Any], sql: Any, params: Any, *rest: Any) -> Any:
    """Say each statement, without its values, and how long it took: for DB_ECHO."""
    begun = perf_counter()
    try:
        return execute(sql, params, *rest)
    finally:
        echo_logger.info("%.1f ms %s", (perf_counter() - begun) * 1000, form_of(str(sql)))


def watch_connection(connection: Any, **_signal: Any) -> None:
    """Watch what this connection is asked, from now on."""
    if watch not in connection.execute_wrappers:
        # First: what a test or a library puts around a statement is not what the database took.
        connection.execute_wrappers.insert(0, watch)
    if settings.DB_ECHO and echo not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, echo)


def form_of(sql: str) -> str:
    """A statement without its values, alike for all that differ in nothing else."""
    text = _VALUES.sub(_without_value, sql)
    text = _NAMES.sub("savepoint", text)
    text = _ROWS.sub("(…)", _LISTS.sub("(…)", text))
    return " ".join(text.split())[:LONGEST_FORM]


def fingerprint(form: str) -> str:
    """A short name of a form, to count and to search by."""
    return hashlib.sha256(form.encode()).hexdigest()[:12]


def _without_value(match: re.Match[str]) -> str:
    return " " if match[0].startswith(("/*", "--")) else "?"


def _tell(sql: str, seconds: float) -> None:
    count("slow_queries")
    form = form_of(sql)
    logger.warning(
        "Slow query: %.3f s, %s",
        seconds,
        form,
        extra={"facts": {"query": fingerprint(form), "seconds": round(seconds, 4)}},
    )
