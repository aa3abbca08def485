"""The language that a client asks for, where there is no request of Django's to ask."""

from django.http import HttpRequest
from django.utils import translation


def language_for(accept_language: bytes) -> str:
    """Read an Accept-Language as it came over the wire; the API's own language where it is none."""
    asked = HttpRequest()
    asked.META["HTTP_ACCEPT_LANGUAGE"] = accept_language.decode("latin-1")
    return translation.get_language_from_request(asked)
