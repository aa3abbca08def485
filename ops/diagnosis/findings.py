"""What a diagnosis finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is; the command ends with it."""

    GOOD = 0  # something that was looked at, and is as it should be
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: how bad, where, why, and what helps.

    `statements` mend it, in this order; `is_safe` says that they take nothing away and may run by
    themselves (`--fix`).
    """

    part: str  # connection, rights, structure, health
    name: str  # a word of ours for its kind, such as missing-table
    severity: Severity
    reason: str
    remedy: str = ""
    statements: tuple[str, ...] = ()
    is_safe: bool = False

    def as_json(self) -> dict[str, object]:
        """The same for machines."""
        return {
            "part": self.part,
            "name": self.name,
            "severity": self.severity.name.lower(),
            "reason": self.reason,
            "remedy": self.remedy,
            "statements": list(self.statements),
            "can_be_fixed": self.is_safe,
        }


def worst(findings: Iterable[Finding]) -> Severity:
    """How bad the worst of them is."""
    return max((one.severity for one in findings), default=Severity.GOOD)
