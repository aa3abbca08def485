"""Reading SQL word by word, as far as a plan needs it: names, groups in parentheses, the rest."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<gap>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<name>"(?:[^"]|"")+"|\w+)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A word, a text in quotes, a sign, or a whole group in parentheses, and where it stands."""

    text: str
    start: int
    end: int


class Reader:
    """Goes through a statement from its first word to its last; what is in parentheses is one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def next_is(self, *words: str) -> bool:
        """Whether these words come next, in capitals or not."""
        coming = self._tokens[self._at : self._at + len(words)]
        return tuple(token.text.upper() for token in coming) == words

    def take(self, *words: str) -> bool:
        """Go past these words, if they come next."""
        if is_there := self.next_is(*words):
            self._at += len(words)
        return is_there

    def word(self) -> str:
        """The next word as it stands; empty at the end."""
        if self._at == len(self._tokens):
            return ""
        self._at += 1
        return self._tokens[self._at - 1].text

    def name(self) -> str:
        """The next name, without quotes and without a schema before it."""
        name = plain(self.word())
        while self.take("."):
            name = plain(self.word())
        return name

    def group(self) -> str:
        """What stands in the parentheses that come next; empty where there are none."""
        coming = self._tokens[self._at : self._at + 1]
        if not coming or not coming[0].text.startswith("("):
            return ""
        return self.word()[1:-1].strip()

    def until(self, *stops: str) -> str:
        """All before the first of these words, or to the end."""
        first = self._at
        while self._at < len(self._tokens) and self._tokens[self._at].text.upper() not in stops:
            self._at += 1
        if first == self._at:
            return ""
        return self.text[self._tokens[first].start : self._tokens[self._at - 1].end]


def plain(name: str) -> str:
    """A name without its quotes; one that had none is folded, as the database does it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def split(text: str, mark: str) -> list[str]:
    """The parts between marks, such as commas, that stand in no parentheses and no quotes."""
    parts: list[list[Token]] = [[]]
    for token in _tokens(text):
        if token.text == mark:
            parts.append([])
        else:
            parts[-1].append(token)
    return [text[part[0].start : part[-1].end] for part in parts if part]


def statements(text: str) -> list[str]:
    """The statements of a text, without comments around them; a trigger of SQLite is one."""
    found: list[str] = []
    is_open = False
    for part in split(text, ";"):
        if is_open:
            found[-1] += f"; {part}"
        else:
            found.append(part)
        words = re.findall(r"\w+", part.upper())
        if words[:1] == ["CREATE"] and "TRIGGER" in words and "BEGIN" in words:
            is_open = True
        elif words == ["END"]:
            is_open = False
    return found


def _tokens(text: str) -> Iterator[Token]:
    depth = start = 0
    for match in _TOKEN.finditer(text):
        sign = match.group()
        if match.lastgroup == "gap":
            continue
        if sign == "(":
            if not depth:
                start = match.start()
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
            if not depth:
                yield Token(text[start : match.end()], start, match.end())
        elif not depth:
            yield Token(sign, match.start(), match.end())
