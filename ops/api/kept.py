"""Answers that are the same bytes for everybody, kept in memory until something they show changes.

What is a person's own in them is written into gaps, outside of what is kept: where a stranger reads
null.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from django.utils.translation import get_language
from rest_framework.request import Request

from ops.api.renderer import encode, encode_success
from ops.api.views import OpenView
from ops.services.kept import kept

JSON = "application/json; charset=utf-8"
OF_A_PAGE = ("cursor", "page_size")
_NULL = b"null"
# A stranger may ask for the same in any number of long ways: what is asked in more characters than
# anybody needs is not kept, and what is kept is counted with what was asked.
LONGEST_KEY = 600
BYTES_OF_A_CHARACTER = 4

# What a person reads in the gaps: by the name of the field, in the order in which they stand.
type Own = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Content:
    """What an answer says to a stranger, and what of it a view has to know to fill the gaps."""

    data: Any
    about: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to strangers as bytes, and where its gaps are."""

    body: bytes
    etag: str
    gaps: tuple[tuple[str, int], ...]  # the field, and where its null begins
    about: Any

    @classmethod
    def of(cls, content: Content, own_fields: Sequence[str]) -> Self:
        """Write an answer; its gaps are the fields of these names that are null."""
        body = encode_success(content.data)
        return cls(
            body=body,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            gaps=tuple(_gaps(body, own_fields)) if own_fields else (),
            about=content.about,
        )

    def filled(self, own: Own) -> bytes:
        """The answer to a person; a gap of a field that is not named stays null."""
        values = {name: iter(of_name) for name, of_name in own.items()}
        pieces, end = [], 0
        for name, start in self.gaps:
            if name in values:
                pieces += [self.body[end:start], encode(next(values[name]))]
                end = start + len(_NULL)
        return b"".join([*pieces, self.body[end:]])

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.body) + 150 * len(self.gaps)


def _gaps(body: bytes, own_fields: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Where these fields are null: a quote inside of a text is escaped, so no text looks alike."""
    names = "|".join(map(re.escape, own_fields)).encode()
    for found in re.finditer(rb'"(%s)":null' % names, body):
        yield found[1].decode(), found.end() - len(_NULL)


class KeptView(OpenView):
    """A view whose answers are alike for everybody, except for the gaps that `own` fills.

    They are kept for as long as nothing of their topic changes, whatever process changes it.
    Strangers get an ETag, and 304 without a body when they have these bytes already.
    """

    is_kept = True
    topic: ClassVar[str]
    # Fields that are null to strangers and something of their own to persons.
    own_fields: ClassVar[tuple[str, ...]] = ()

    def own(self, person: Any, about: Any) -> Own:
        """What this person reads in the gaps; `about` is of the content."""
        return {}

    def answer(
        self,
        request: Request,
        build: Callable[[Request], Content],
        *,
        asks: Sequence[str] = (),
        is_alike: bool = True,
    ) -> HttpResponse:
        """Answer with what `build` returns or returned before, filled for whoever is signed in.

        It may look at the address, at the parameters of the query that `asks` names, and into the
        database at rows of the topic alone. What it raises is raised, and not kept. An answer that
        is not alike for everybody (`is_alike`) is built anew.
        """
        write = partial(self._write, request, build)
        key = _key(request, asks)
        texts = sum(map(len, key.texts))
        if is_alike and texts <= LONGEST_KEY:
            whole = kept(self.topic, key, write, size=partial(_size, texts=texts))
        else:
            whole = write()
        if request.user.is_authenticated:
            own = self.own(request.user, whole.about)
            return HttpResponse(whole.filled(own), content_type=JSON)
        return _to_stranger(request, whole)

    def _write(self, request: Request, build: Callable[[Request], Content]) -> Answer:
        return Answer.of(build(request), self.own_fields)


def _size(answer: Answer, *, texts: int) -> int:
    return answer.size + texts * BYTES_OF_A_CHARACTER


@dataclass(frozen=True, slots=True)
class _Key:
    """All that an answer depends on beside the database."""

    texts: tuple[str, ...]


def _key(request: Request, asks: Sequence[str]) -> _Key:
    """What nobody asks for is not looked at."""
    query = request.query_params
    asked = (text for name in asks if name in query for text in (name, query[name]))
    language = get_language() or ""
    return _Key((request.path, language, request.scheme or "", request.get_host(), *asked))


def _to_stranger(request: Request, answer: Answer) -> HttpResponse:
    known = parse_etags(request.headers.get("If-None-Match", ""))
    # For reading, a weak tag is as good as a strong one (RFC 9110, 13.1.2).
    if known == ["*"] or answer.etag in {tag.removeprefix("W/") for tag in known}:
        response: HttpResponse = HttpResponseNotModified()
    else:
        response = HttpResponse(answer.body, content_type=JSON)
    response["ETag"] = answer.etag
    # Kept by whoever likes, and asked about each time: a change is seen in the next answer.
    response["Cache-Control"] = "no-cache"
    return response
