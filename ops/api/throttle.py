"""How many requests a person may send, and how many files."""

from typing import TYPE_CHECKING, override

from rest_framework import throttling
from rest_framework.request import Request

from ops.live_settings import REQUESTS_PER_PERSON, UPLOADS_PER_PERSON
from ops.services.rates import rates
from ops.setting_kinds import Text

if TYPE_CHECKING:
    from rest_framework.views import APIView


class PersonThrottle(throttling.SimpleRateThrottle):
    """So many requests a minute per person; strangers have limits of their own where they act."""

    scope: str | None = "person"
    rate_setting: Text = REQUESTS_PER_PERSON
    num_requests: int
    duration: int  # seconds
    _wait: float = 0

    @override
    def get_rate(self) -> str:
        return self.rate_setting.value

    @override
    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Count the request, unless there were too many: those that are refused are not counted."""
        if request.user.is_authenticated:
            subject = f"{self.scope}:{request.user.pk}"
            self._wait = rates.seconds_to_wait(
                subject, limit=self.num_requests, seconds=self.duration
            )
        return self._wait == 0

    @override
    def wait(self) -> float:
        return self._wait


class UploadThrottle(PersonThrottle):
    """So many files a minute per person, also of those that are refused: each one costs work."""

    scope = "upload"
    rate_setting = UPLOADS_PER_PERSON
