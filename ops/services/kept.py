"""What this process keeps in memory of the database, for as long as its topic does not change."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from threading import Lock
from typing import Any, cast

from django.conf import settings
from django.db import connection

from ops.services import freshness

# What an entry costs beside what it is said to cost: its key, and its places in the tables.
OF_AN_ENTRY = 500  # bytes

type _Key = tuple[str, Hashable]

_is_lasting: ContextVar[bool] = ContextVar("is_lasting", default=True)


class Memory:
    """Values by topic, generation and key; the ones asked for longest ago go first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: OrderedDict[_Key, tuple[Any, int]] = OrderedDict()
        self._generations: dict[str, int] = {}
        self._keys: dict[str, set[_Key]] = {}
        self.size = 0  # bytes

    def get(self, topic: str, generation: int, key: Hashable) -> Any:
        """What is kept under this key of this generation; None when nothing is."""
        with self._lock:
            if not self._is_newest(topic, generation):
                return None
            value, _size = self._entries.get((topic, key), (None, 0))
            if value is not None:
                self._entries.move_to_end((topic, key))
            return value

    def put(self, topic: str, generation: int, key: Hashable, *, value: Any, size: int) -> None:
        """Keep a value of so many bytes, unless its generation is over or it is larger than all."""
        size += OF_AN_ENTRY
        with self._lock:
            if size > settings.KEPT_ANSWERS_BYTES or not self._is_newest(topic, generation):
                return
            place = (topic, key)
            self._drop(place)
            self._entries[place] = (value, size)
            self._keys.setdefault(topic, set()).add(place)
            self.size += size
            while self.size > settings.KEPT_ANSWERS_BYTES:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
            self._generations.clear()
            self._keys.clear()
            self.size = 0

    def _is_newest(self, topic: str, generation: int) -> bool:
        """Whether it is; all that is kept of generations before it goes at once."""
        newest = self._generations.setdefault(topic, generation)
        if generation > newest:
            self._generations[topic] = generation
            for place in list(self._keys.get(topic, ())):
                self._drop(place)
        return generation >= newest

    def _drop(self, place: _Key) -> None:
        _value, size = self._entries.pop(place, (None, 0))
        self._keys.get(place[0], set()).discard(place)
        self.size -= size


memory = Memory()


def kept[Value](
    topic: str, key: Hashable, build: Callable[[], Value], *, size: Callable[[Value], int]
) -> Value:
    """What `build` returns, from memory while nothing of its topic changed since it was built.

    Everybody gets the same object: it is for reading alone, is never None, holds nothing that is
    one person's, and depends on rows of this topic and on `key` alone. `size` says about how many
    bytes it takes. What `build` raises is raised, and nothing is kept then. Two who miss at once
    both build.

    A transaction reads past what it changes of the topic itself: it is for those who change
    nothing of it, as a draw changes no wheel.
    """
    generation = freshness.current(topic)
    if generation is None:
        return build()
    found = memory.get(topic, generation, key)
    if found is not None:
        return cast("Value", found)
    outer = _is_lasting.set(True)
    try:
        value = build()
        is_lasting = _is_lasting.get()
    finally:
        _is_lasting.reset(outer)
    if not is_lasting:
        do_not_keep()  # nor what it is a part of
    elif not connection.in_atomic_block or freshness.is_unchanged(topic):
        memory.put(topic, generation, key, value=value, size=size(value))
    return value


def do_not_keep() -> None:
    """Say, while something is built, that it holds what ends by itself: it is not kept."""
    _is_lasting.set(False)


def forget() -> None:
    """Forget all that is kept, and what was heard of the database."""
    memory.clear()
    freshness.forget()
