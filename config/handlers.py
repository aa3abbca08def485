"""Django's handlers, for requests as strangers may send them.

Django fails at a Content-Type that it cannot decode before anything of ours could answer, and takes
a WSGI body that comes in chunks for an empty one.
"""

import os
from collections.abc import Callable, Mapping
from tempfile import SpooledTemporaryFile
from typing import Any, override

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.utils.http import parse_header_parameters

# A receipt's upload is judged up to 64 MB; what is larger is refused by its length, not read.
MOST_BYTES = 65 * 1024 * 1024
IN_MEMORY = 1024 * 1024  # bytes of a body in chunks; the rest waits on disk
CHUNK = 64 * 1024


class PlainType(HttpRequest):
    """A request whose Content-Type decides about its body alone, and that later."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Read the Content-Type; one that cannot be read is none, of which no body is taken.

        Django would read address and forms in the charset that it names, which may be any codec
        of Python's: some fail at whatever they read. Here all is UTF-8, and `ops.api.parsers`
        refuses a body that claims to be something else.
        """
        try:
            read = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            meta["CONTENT_TYPE"] = ""
            read = "", {}
        self.content_type, self.content_params = read


class PlainWSGIRequest(PlainType, WSGIRequest):
    """Of this kind on WSGI."""


class PlainASGIRequest(PlainType, ASGIRequest):
    """Of this kind on ASGI."""


class HttpOnASGI(ASGIHandler):
    """HTTP in the embedded set-up."""

    request_class = PlainASGIRequest

    @override
    def create_request(self, scope: Mapping[str, Any], body_file: Any) -> Any:
        """Say how long the body is that was taken in, where the client did not."""
        if not any(name == b"content-length" for name, _value in scope["headers"]):
            length = body_file.seek(0, os.SEEK_END)
            body_file.seek(0)
            said = (b"content-length", str(length).encode())
            scope = {**scope, "headers": [*scope["headers"], said]}
        return super().create_request(scope, body_file)


class HttpOnWSGI(WSGIHandler):
    """HTTP in production; a body that comes in chunks is taken in before it is counted."""

    request_class = PlainWSGIRequest

    def __init__(self, *begin_with: Callable[[], object]) -> None:
        """What is called once in each process, before its first request."""
        super().__init__()
        self._begin_with = list(begin_with)

    @override
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if self._begin_with:
            self._begin()
        if environ.get("CONTENT_LENGTH") or not environ.get("wsgi.input_terminated"):
            return super().__call__(environ, start_response)
        # The view has read the body by the time there is a response.
        with SpooledTemporaryFile(max_size=IN_MEMORY) as body:
            length = 0
            while length <= MOST_BYTES and (chunk := environ["wsgi.input"].read(CHUNK)):
                length += len(chunk)
                body.write(chunk)
            body.seek(0)
            whole = {**environ, "CONTENT_LENGTH": str(length), "wsgi.input": body}
            return super().__call__(whole, start_response)

    def _begin(self) -> None:
        """Call each of what comes first, once, whichever thread it falls to."""
        while self._begin_with:
            try:
                begin = self._begin_with.pop()
            except IndexError:  # another thread took it
                return
            begin()
