"""What the SDKs of the providers have in common: both ask by requests, on urllib3."""

from collections.abc import Iterator

from requests.exceptions import ConnectTimeout, SSLError
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

# Before a connection stood nothing was sent.
NEVER_LEFT = (ConnectTimeout, SSLError, ConnectTimeoutError, NewConnectionError)


class NoAnswer(Exception):
    """The provider did not say in words that are known whether it took the code."""


def never_left(error: BaseException) -> bool:
    """Whether the request certainly did not reach the provider."""
    return any(isinstance(cause, NEVER_LEFT) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it came of, wherever the libraries keep it."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        kept = (getattr(one, name, None) for name in ("reason", "inner_exception"))
        left += [one.__cause__, one.__context__, *one.args, *kept]
