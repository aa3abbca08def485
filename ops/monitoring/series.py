"""The names of readings, as /metrics writes them: `metric{label="value"}`."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Self, override

_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_PLAIN = {escaped: plain for plain, escaped in _ESCAPES.items()}


class Series(NamedTuple):
    """One line of a metric: its name and its labels, sorted."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, metric: str, labels: Mapping[str, str]) -> Self:
        """The series of a metric with these labels."""
        return cls(metric, tuple(sorted(labels.items())))

    @staticmethod
    def read(text: str) -> "Series":
        """What `str` of a series made (the Prometheus text format)."""
        return _read(text)

    @override
    def __str__(self) -> str:
        said = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels)
        return f"{self.metric}{{{said}}}" if said else self.metric

    def has(self, labels: Mapping[str, object]) -> bool:
        """Whether it has all of these labels; a value that ends with * says how one begins."""
        mine = dict(self.labels)
        return all(
            name in mine and _is_like(mine[name], str(value)) for name, value in labels.items()
        )


# Every sample has the same names again: so many of them are read once and kept.
@lru_cache(maxsize=4096)
def _read(text: str) -> Series:
    metric, _brace, rest = text.partition("{")
    labels = {
        name: re.sub(r"\\.", lambda found: _PLAIN[found[0]], value)
        for name, value in _LABEL.findall(rest)
    }
    return Series.of(metric, labels)


def _is_like(value: str, wanted: str) -> bool:
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _escaped(value: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in value)
