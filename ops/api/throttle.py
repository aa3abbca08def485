"""How many requests a person may send, and how many files."""

from typing import TYPE_CHECKING, override

from rest_framework import throttling
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView


class PersonThrottle(throttling.SimpleRateThrottle):
    """So many requests a minute per person; strangers have limits of their own where they act."""

    scope: str | None = "person"

    @override
    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        if not request.user.is_authenticated:
            return None
        return f"throttle:{self.scope}:{request.user.pk}"


class UploadThrottle(PersonThrottle):
    """So many files a minute per person, also of those that are refused: each one costs work."""

    scope = "upload"
