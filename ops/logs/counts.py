"""What the log sees that somebody should be told of: a line alone is counted by nobody."""

from typing import Literal

from ops.measures import Counter, Histogram, Label

type Counted = Literal["slow_requests", "slow_queries", "errors", "errors_dropped", "lines_lost"]

_COUNTERS: dict[Counted, Counter] = {
    "slow_requests": Counter(
        "platform_slow_requests_total", "Requests that took longer than SLOW_REQUEST_MS."
    ),
    "slow_queries": Counter(
        "platform_slow_queries_total", "Statements that took longer than SLOW_QUERY_MS."
    ),
    "errors": Counter("platform_errors_total", "Lines of the log with a stack trace."),
    "errors_dropped": Counter(
        "platform_errors_dropped_total",
        "Of these, those that were not grouped, since too many kinds waited to be written.",
    ),
    "lines_lost": Counter("platform_log_lines_lost_total", "Lines of the log that no file took."),
}


STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
QUERY_SECONDS = Histogram(
    "platform_query_seconds",
    "Seconds of a statement, by its verb; COMMIT and the wait for a connection are not among them.",
    Label("statement", STATEMENTS),
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0),
)

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_ROUTE = Label("route", most=600)  # patterns of addresses, of which the console has the most
_METHOD = Label("method", METHODS)
REQUESTS = Counter(
    "platform_requests_total",
    "Requests by route, method, status and the code of the envelope (empty: no envelope).",
    _ROUTE,
    _METHOD,
    Label("status", most=60),
    Label("code", most=120),
)
REQUEST_SECONDS = Histogram(
    "platform_request_seconds",
    "Seconds to the answer, by route and method.",
    _ROUTE,
    _METHOD,
)


def count(what: Counted, times: int = 1) -> None:
    """Count one more, or so many."""
    _COUNTERS[what].add(times)


def counts() -> dict[str, int]:
    """All counts of this process, by name."""
    return {name: int(sum(one.series().values())) for name, one in _COUNTERS.items()}
