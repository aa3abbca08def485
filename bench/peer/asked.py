"""A POST as it came: who sends it under which key, and what was answered before."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bench.peer.refusals import Refusal

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that has its effect once per `key`."""

    person_id: int
    session_id: int
    path: str
    key: str
    fingerprint: str
    body: dict[str, Any]

    @property
    def names(self) -> dict[str, Any]:
        return {
            "person_id": self.person_id,
            "session_id": self.session_id,
            "path": self.path,
            "key": self.key,
            "fingerprint": self.fingerprint,
        }

    def check(self, fingerprint: str) -> None:
        """Raise Refusal when the key was used with another body."""
        if fingerprint != self.fingerprint:
            raise Refusal(1014, 422)


@dataclass(frozen=True, slots=True)
class Answered:
    """JSON that was committed together with what it answers."""

    data: bytes
    is_replay: bool = False


def is_kept(created_at: datetime, *, now: datetime) -> bool:
    return created_at > now - KEPT_FOR
