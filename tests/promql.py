"""What an expression of PromQL names: metrics, their labels, and what it groups by."""

import re
from dataclasses import dataclass

STRING = r'"(?:[^"\\]|\\.)*"'
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SELECTOR = re.compile(rf"({NAME})\s*\{{((?:{STRING}|[^}}\"])*)\}}")
MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({STRING})")
GROUPING = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", re.IGNORECASE
)
NEITHER = re.compile(rf"{STRING}|\[[^\]]*\]|\boffset\s+\w+|\b[0-9][\w.]*", re.IGNORECASE)
WORD = re.compile(rf"({NAME})\s*(\(?)")
KEYWORDS = {"and", "or", "unless", "bool", "inf", "nan"}
FUNCTION = re.compile(rf"({NAME})\s*\(\s*\Z")


@dataclass(frozen=True)
class Selector:
    """A metric as an expression asks for it: the matchers are (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Expression:
    """What an expression names."""

    selectors: tuple[Selector, ...]
    grouped_by: frozenset[str]


def read(text: str) -> Expression:
    """Find the metrics of an expression, and the labels that it groups or joins by."""
    grouped = {label.strip() for found in GROUPING.findall(text) for label in found.split(",")}
    rest = GROUPING.sub(" ", text)
    selectors = [
        Selector(
            name, tuple((label, is_, value[1:-1]) for label, is_, value in MATCHER.findall(inside))
        )
        for name, inside in SELECTOR.findall(rest)
    ]
    # Aggregations whose grouping was taken away are followed by their bracket now.
    rest = NEITHER.sub(" ", SELECTOR.sub(" ", rest))
    selectors += [
        Selector(word)
        for word, bracket in WORD.findall(rest)
        if not bracket and word.lower() not in KEYWORDS
    ]
    return Expression(tuple(selectors), frozenset(grouped - {""}))


def aggregated_by(text: str, metric: str) -> list[str]:
    """The functions whose brackets begin right before each occurrence of a metric."""
    plain = GROUPING.sub(" ", text)
    found = [one.start() for one in re.finditer(rf"(?<![\w:]){metric}(?![\w:])", plain)]
    return [before[1] if (before := FUNCTION.search(plain[:place])) else "" for place in found]
