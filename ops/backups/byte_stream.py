"""Bytes that come in parts, read as a file is."""

from collections.abc import Iterable
from typing import Protocol


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class ByteStream:
    """Reads parts as they are made; what making them raises, reading raises."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, or all; empty at the end."""
        if size < 0:
            data, self._rest = self._rest + b"".join(self._parts), b""
            return data
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._rest = part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def read_fully(source: _Source, size: int) -> bytes:
    """So many bytes, and fewer at the end alone: a pipe gives what it has."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
