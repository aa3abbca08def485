"""What is written down of a backup, beside its pieces, and sealed by a key of the ring.

The manifest is the truth of a backup: it lies with the pieces, outside of the database, whose rows
are written after it and go back in time with a restore.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused
from ops.models.backups import BackupKind, BackupTrigger
from ops.services import key_ring
from ops.services.key_ring import Key, UnknownKey

FORMAT = 1
ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_PURPOSE = b"manifest of a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of a backup: `size` and `sha256` of what is stored, the others of what went in."""

    name: str
    size: int
    sha256: str
    plain_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one backup is, where it comes from, and by what it is recognised."""

    id: str
    kind: BackupKind
    engine: str
    trigger: BackupTrigger
    parent: str | None
    # The seal of the parent's manifest: a parent that was replaced is noticed.
    parent_seal: str | None
    database: str
    started_at: datetime
    finished_at: datetime
    code_version: str
    server_version: str
    # app.name, sorted.
    migrations: Sequence[str]
    compression: str
    key_id: str
    row_counts: Mapping[str, int]
    row_counts_after: Mapping[str, int] | None
    pieces: Sequence[Piece]
    facts: Mapping[str, Any] = field(default_factory=dict)
    seal: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def size(self) -> int:
        """The bytes of its pieces as they are stored."""
        return sum(piece.size for piece in self.pieces)

    def piece(self, name: str) -> Piece:
        """The piece of this name. Raises KeyError."""
        for piece in self.pieces:
            if piece.name == name:
                return piece
        raise KeyError(name)


def sealed(manifest: Manifest) -> Manifest:
    """The same manifest with its seal: HMAC-SHA256 of its canonical JSON under its key."""
    key = key_ring.find("field", manifest.key_id)
    return replace(manifest, seal=_seal(key, _facts(manifest)))


def written(manifest: Manifest) -> bytes:
    """The file of a sealed manifest: JSON, in UTF-8."""
    facts = {"format": FORMAT, **_facts(manifest), "seal": manifest.seal}
    return json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n"


def read(content: bytes) -> Manifest:
    """The manifest in a file. Raises BackupRefused unless its seal is that of a key of the ring."""
    try:
        facts = json.loads(content)
        number, seal = facts.pop("format"), facts.pop("seal").encode()
        key_id = facts["key_id"].encode("ascii").decode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupRefused(_("The manifest cannot be read.")) from error
    if number != FORMAT:
        raise BackupRefused(
            _("The manifest has format %(found)s; this version reads %(known)d.")
            % {"found": number, "known": FORMAT}
        )
    try:
        key = key_ring.find("field", key_id)
    except UnknownKey as error:
        raise BackupRefused(
            _("The key %s of the backup is not among FIELD_ENCRYPTION_KEYS: put it there.") % key_id
        ) from error
    if not hmac.compare_digest(_seal(key, facts).encode(), seal):
        raise BackupRefused(_("The manifest was altered: its seal does not fit."))
    try:
        manifest = _manifest(facts, seal.decode())
    except (ValueError, KeyError, TypeError) as error:
        # Nobody forged it: the seal fits.
        raise BackupRefused(_("The manifest was written by another version.")) from error
    if written(manifest) != content:  # such as what was put behind the end
        raise BackupRefused(_("The manifest was altered: it is written otherwise."))
    return manifest


def _manifest(facts: dict[str, Any], seal: str) -> Manifest:
    return Manifest(
        **{
            **facts,
            "kind": BackupKind(facts["kind"]),
            "trigger": BackupTrigger(facts["trigger"]),
            "started_at": datetime.fromisoformat(facts["started_at"]),
            "finished_at": datetime.fromisoformat(facts["finished_at"]),
            "pieces": [Piece(**piece) for piece in facts["pieces"]],
        },
        seal=seal,
    )


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts = asdict(manifest)
    del facts["seal"]
    for moment in ("started_at", "finished_at"):
        facts[moment] = facts[moment].isoformat()
    return facts


def _seal(key: Key, facts: Mapping[str, Any]) -> str:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    secret = hashlib.sha256(_PURPOSE + b":" + key.secret).digest()
    return hmac.digest(secret, canonical.encode(), "sha256").hex()
