"""The files beside the seals: each seal, and the heads that changed since the one before it.

They lie outside the database (`STORAGES["seals"]`), where whoever can write its rows cannot write.
Each is gzipped JSON lines: first the seal, then `[ledger, account, number, hash]` for each head.
"""

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from ops.models import LedgerSeal
from ops.services.ledgers import ledgers

_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.json\.gz")
# Where files of another course of the database are put, see `set_aside`.
SET_ASIDE = "set-aside"


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The newest entry of an account: its ledger, the account's id, its number and its hash."""

    ledger: str
    account_id: int
    sequence: int
    entry_hash: str

    @property
    def leaf(self) -> bytes:
        """What the Merkle tree has of it: canonical JSON, in UTF-8."""
        facts = [self.ledger, self.account_id, self.sequence, self.entry_hash]
        return json.dumps(facts, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class SealFile:
    """What a file says: the seal, and the heads that changed since the one before it."""

    seal: LedgerSeal
    heads: list[Head]


class UnreadableSeal(Exception):
    """A file of a seal is not what was written."""


def storage() -> Storage:
    """Where the files are."""
    return storages["seals"]


def days() -> list[date]:
    """The days that have a file, in order; files with another name are not ours."""
    try:
        _folders, names = storage().listdir("")
    except FileNotFoundError:
        return []
    named = filter(None, map(_NAME.fullmatch, names))
    return sorted(date.fromisoformat(match[1]) for match in named)


def write(file: SealFile, *, public_key: str) -> None:
    """Write the file of a seal. Call it in the transaction that writes the row, after the row."""
    content = io.BytesIO()
    with gzip.open(content, "wt", encoding="utf-8") as lines:
        lines.write(json.dumps({**_facts(file.seal), "public_key": public_key}) + "\n")
        lines.writelines(f"{head.leaf.decode()}\n" for head in file.heads)
    storage().save(_name(file.seal.date), ContentFile(content.getvalue()))


def read(day: date) -> SealFile:
    """Read the file of a day. Raises FileNotFoundError, and UnreadableSeal when it is damaged."""
    with storage().open(_name(day)) as stored:
        content = stored.read()
    try:
        first, *others = gzip.decompress(content).decode().splitlines()
        return SealFile(_seal(json.loads(first)), list(_heads(others)))
    # Whatever a bit that flipped comes to, from zlib to a number out of range.
    except Exception as error:
        raise UnreadableSeal(str(day)) from error


def differ(one: LedgerSeal, other: LedgerSeal) -> bool:
    """Whether two records of a seal say different things."""
    return _facts(one) != _facts(other)


def set_aside(day: date) -> None:
    """Keep a file under another name: it tells of a course that the database left."""
    with storage().open(_name(day)) as stored:
        content = stored.read()
    storage().save(f"{SET_ASIDE}/{_name(day)}", ContentFile(content))
    storage().delete(_name(day))


def _name(day: date) -> str:
    return f"{day.isoformat()}.json.gz"


def _facts(seal: LedgerSeal) -> dict[str, Any]:
    fields = (*LedgerSeal.hashed_fields, "entry_hash", "signature")
    facts = {name: getattr(seal, name) for name in fields}
    return {
        **facts,
        "date": seal.date.isoformat(),
        "sealed_at": seal.sealed_at.astimezone(UTC).isoformat(),
    }


def _seal(facts: dict[str, Any]) -> LedgerSeal:
    facts.pop("public_key")
    numbers = ("sequence", "accounts", "entries")
    if not all(type(value) is (int if name in numbers else str) for name, value in facts.items()):
        raise TypeError(facts)
    facts["date"] = date.fromisoformat(facts["date"])
    facts["sealed_at"] = datetime.fromisoformat(facts["sealed_at"])
    return LedgerSeal(**facts)


def _heads(lines: Iterable[str]) -> Iterator[Head]:
    for line in lines:
        head = Head(*json.loads(line))
        told = (head.ledger, head.account_id, head.sequence, head.entry_hash)
        if tuple(map(type, told)) != (str, int, int, str):
            raise TypeError(line)
        if head.ledger not in ledgers.names() or not 0 < head.account_id < 2**63 > head.sequence:
            raise ValueError(line)
        yield head
