"""The WAL that was taken away, and how PostgreSQL reads of it up to a moment."""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from django.utils.translation import gettext as _

from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.wal_names import HISTORY, PARTIAL, Segment, verify_chain

REACHED = "reached.json"
# Not a moment, but all that is there: even what came after the archive last said how far it is.
NEWEST = datetime.max.replace(tzinfo=UTC)
CHUNK = 1 << 20  # bytes


class Archive(Protocol):
    """Where the WAL lies that was taken away, packed; each file by PostgreSQL's name for it."""

    def names(self) -> Sequence[str]:
        """The names of all files, in any order; one that is there twice is named twice."""
        ...

    def reading(self, name: str) -> AbstractContextManager[Readable]:
        """A file in plain bytes; leaving the block raises if it was not whole.

        Raises KeyError where there is none of this name.
        """
        ...


class Archives(Protocol):
    """The archives of all clusters whose WAL was ever taken away."""

    def of(self, system_identifier: str) -> Archive:
        """The one of a cluster; empty where nothing of it was taken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far the archive goes: all that was committed before `at` lies before `lsn`."""

    at: datetime
    lsn: str
    timeline: int
    segment_size: int
    system_identifier: str

    def written(self) -> bytes:
        """The file in the archive."""
        return json.dumps({**asdict(self), "at": self.at.isoformat()}).encode()

    @classmethod
    def read(cls, content: str) -> Self:
        """What the file says."""
        facts = json.loads(content)
        return cls(**{**facts, "at": datetime.fromisoformat(facts["at"])})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What PostgreSQL is told of the moment at which it ends its recovery."""

    options: Mapping[str, str]
    # None for the end of the WAL.
    at: datetime | None
    # Before which nothing of the WAL may be left out, where no commit is younger.
    end: str


def reached(archive: Archive) -> Reached | None:
    """How far the archive goes; None where it never began."""
    try:
        return Reached.read(_text(archive, REACHED))
    except KeyError:
        return None


def problems(archive: Archive, facts: Mapping[str, Any], *, to: Reached) -> list[str]:
    """What is missing or double between the start of a backup, by its facts, and a position."""
    names = archive.names()
    history = f"{to.timeline:08X}.history"
    return verify_chain(
        names,
        from_lsn=facts["start_lsn"],
        to_lsn=to.lsn,
        timeline=facts["timeline"],
        size=facts["segment_size"],
        to_timeline=to.timeline,
        history=_text(archive, history) if history in names else "",
    )


def recovery(
    manifest: Manifest, archive: Archive | None, *, at: datetime, folder: Path
) -> Recovery:
    """Unpack into `folder` what PostgreSQL needs to go from a backup to a moment after it.

    With `at` NEWEST it is the end of all that is there. Raises BackupRefused for a moment before
    the backup or after the newest WAL, and where a part of the way is missing.
    """
    newest = reached(archive) if archive is not None else None
    if archive is None or newest is None:
        raise BackupRefused(
            _("There is no archive of the WAL: only the moments of the backups can be restored.")
        )
    facts = manifest.facts
    if newest.system_identifier != facts["system_identifier"]:
        raise BackupRefused(
            _("The archive of the WAL is of another cluster than backup %s.") % manifest.id
        )
    oldest = datetime.fromisoformat(facts["stopped_at"])
    if at != NEWEST and not oldest <= at <= newest.at:
        raise BackupRefused(
            _("From backup %(id)s on, the moments from %(oldest)s to %(newest)s can be restored.")
            % {"id": manifest.id, "oldest": oldest.isoformat(), "newest": newest.at.isoformat()}
        )
    if missing := problems(archive, facts, to=newest):
        raise BackupRefused(" ".join(missing))
    folder.mkdir(mode=0o700)
    _unpack(archive, facts, folder)
    return Recovery(
        options={
            # %f and %p are PostgreSQL's, and a % of the folder's name is not.
            "restore_command": f"cp {shlex.quote(str(folder)).replace('%', '%%')}/%f %p",
            "recovery_target_inclusive": "on",
            "recovery_target_action": "promote",
            "recovery_target_timeline": str(newest.timeline),
        },
        at=None if at == NEWEST else at,
        end=newest.lsn,
    )


def _text(archive: Archive, name: str) -> str:
    with archive.reading(name) as source:
        return source.read().decode("ascii")


def _unpack(archive: Archive, facts: Mapping[str, Any], folder: Path) -> None:
    """All segments from the backup on; one that is there in part as if it were whole."""
    size, names = facts["segment_size"], set(archive.names())
    first = Segment.at(facts["start_lsn"], timeline=facts["timeline"], size=size)
    for name in names:
        segment = Segment.named(name, size=size)
        whole = name.removesuffix(PARTIAL)
        if segment is None:
            wanted = HISTORY.fullmatch(name) is not None
        else:
            wanted = segment.number >= first.number and (whole == name or whole not in names)
        if wanted:
            with archive.reading(name) as source, (folder / whole).open("wb") as target:
                while data := source.read(CHUNK):
                    target.write(data)
