"""What was seen of a backup when it lived again: a file beside its manifest, under a seal."""

import hashlib
import hmac
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ops.backups.manifest import Manifest
from ops.backups.places import Place
from ops.backups.reading import StoredBackup
from ops.services import key_ring

PROOF = "proof.json"
LARGEST = 1 << 20  # bytes
_PURPOSE = b"proof of a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a backup lived again, and everything agreed."""

    backup: str
    # The seal of its manifest: a proof goes with no other one.
    manifest_seal: str
    proven_at: datetime
    # Of each step, by its name.
    seconds: Mapping[str, float]

    @property
    def seconds_in_all(self) -> float:
        """How long the proof took."""
        return round(sum(self.seconds.values()), 3)


def keep(proof: Proof, manifest: Manifest, place: Place) -> None:
    """Put a proof beside its backup. Raises what the disk or the network raises."""
    facts = _facts(proof)
    content = json.dumps({**facts, "seal": _seal(facts, manifest)}, indent=1) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PROOF
        file.write_text(content, encoding="utf-8")
        place.add(manifest.id, PROOF, file)


def read(stored: StoredBackup) -> Proof | None:
    """The proof of a backup; None where it has none, or one that is not its own."""
    manifest = stored.manifest
    try:
        with stored.place.open(manifest.id, PROOF) as file:
            facts = json.loads(file.read(LARGEST))
        seal = facts.pop("seal").encode()
        if not hmac.compare_digest(_seal(facts, manifest).encode(), seal):
            return None
        proof = Proof(**{**facts, "proven_at": datetime.fromisoformat(facts["proven_at"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_its_own = (proof.backup, proof.manifest_seal) == (manifest.id, manifest.seal)
    return proof if is_its_own else None


def _facts(proof: Proof) -> dict[str, Any]:
    return {**asdict(proof), "proven_at": proof.proven_at.isoformat()}


def _seal(facts: Mapping[str, Any], manifest: Manifest) -> str:
    """HMAC-SHA256 of canonical JSON under the key of the manifest."""
    key = key_ring.find("field", manifest.key_id)
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    secret = hashlib.sha256(_PURPOSE + b":" + key.secret).digest()
    return hmac.digest(secret, canonical.encode(), "sha256").hex()
