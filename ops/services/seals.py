"""Sealing the ledgers: what was sealed cannot be rewritten by whoever has the database alone.

Once a day the heads of all chains are put under one Merkle root, which is signed with a key that
is not in the database. The heads behind it are in a file that is not there either. So a tail that
was rewritten, cut or replaced is found and named, even where every hash was made anew.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import batched

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.chain import GENESIS_HASH
from ops.merkle import root_of
from ops.metrics import LEDGERS_SEALED, SEALS_CONTRADICT, SEALS_SET_ASIDE
from ops.models import LedgerSeal
from ops.services import audit, events, key_ring, seal_files
from ops.services.integrity import Finding, snapshot, unguarded_tables
from ops.services.ledgers import Ledger, ledgers
from ops.services.seal_files import Head, SealFile, UnreadableSeal

logger = logging.getLogger(__name__)

BATCH_SIZE = 1000  # heads that one statement looks for
SETTLED = timedelta(hours=1)  # so long a row may come after its file, and clocks may differ

type Heads = dict[tuple[str, int], Head]


class SealsContradict(Exception):
    """The files tell of another course than the database: nothing is sealed until that is clear."""


# --- Sealing ------------------------------------------------------------------------------------
def seal_ledgers(*, now: datetime) -> LedgerSeal | None:
    """Seal what all ledgers came to, once a day; None when this day has its seal already.

    Raises SealsContradict when there are seals that this database does not know, as after a
    restore: `set_newer_aside` says that it is known. A clock that goes back seals nothing.
    """
    newest = LedgerSeal.objects.order_by("-sequence").first()
    today = timezone.localdate(now)
    if newest is not None and today <= newest.date:
        return None
    if unknown := [day for day in seal_files.days() if newest is None or day > newest.date]:
        taken_up = _take_up(unknown, newest)
        if taken_up is not None:
            return taken_up
    with snapshot():
        heads = {
            (name, account_id): Head(name, account_id, sequence, entry_hash)
            for name, ledger in ledgers.items()
            for account_id, sequence, entry_hash in ledger.heads.iterator()
        }
    sealed = _sealed()
    changed = [head for account, head in sorted(heads.items()) if sealed.get(account) != head]
    seal = LedgerSeal(
        sequence=newest.sequence + 1 if newest else 1,
        date=today,
        root=_root(heads.values()),
        changes=_root(changed),
        accounts=len(heads),
        entries=sum(head.sequence for head in heads.values()),
        sealed_at=now,
        key_id=key_ring.newest("seal").id,
        previous_hash=newest.entry_hash if newest else GENESIS_HASH,
    )
    seal.entry_hash = seal.computed_hash()
    seal.signature = _private_key(seal.key_id).sign(seal.entry_hash.encode()).hex()
    return _keep(SealFile(seal, changed), is_new=True)


def _sealed() -> Heads:
    """The heads that the files say were sealed; after a loss all of them are sealed anew."""
    sealed: Heads = {}
    for day in LedgerSeal.objects.order_by("date").values_list("date", flat=True):
        try:
            _replay(sealed, seal_files.read(day).heads)
        except (FileNotFoundError, UnreadableSeal):
            sealed.clear()
    return sealed


def sealed_heads() -> Heads:
    """The heads that the seals prove, by ledger and account; of nothing where they can be doubted.

    Doubted are all of them where one contradicts its file, its signature or the one before it.
    """
    if any(finding.object_id.startswith("seal ") for finding in check_seals()):
        return {}
    return _sealed()


def _root(heads: Iterable[Head]) -> str:
    return root_of(head.leaf for head in sorted(heads))


def _replay(sealed: Heads, heads: Iterable[Head]) -> None:
    sealed.update({(head.ledger, head.account_id): head for head in heads})


def _keep(file: SealFile, *, is_new: bool) -> LedgerSeal | None:
    """Write the row, and the file unless it is there; None when another machine was first."""
    try:
        with transaction.atomic():
            file.seal.save(force_insert=True)
            if is_new:
                seal_files.write(file, public_key=public_key())
            events.record(LEDGERS_SEALED, accounts=file.seal.accounts, entries=file.seal.entries)
    except IntegrityError:
        if not LedgerSeal.objects.filter(date=file.seal.date).exists():
            raise
        return None
    logger.info("Sealed the ledgers of %s", file.seal.date)
    return file.seal


def _take_up(days: list[date], newest: LedgerSeal | None) -> LedgerSeal | None:
    """Write the row of a seal whose file alone is there: its machine was killed between the two.

    Only the one that follows, when all that it seals is in the database; anything else belongs
    to another course of it. A file that was cut off half way is put aside: nothing was sealed.
    """
    day, *more = days
    try:
        file = None if more else seal_files.read(day)
    except UnreadableSeal:
        logger.warning("The seal of %s was written in part and is put aside", day)
        seal_files.set_aside(day)
        return None
    if file is None or not _follows(file, newest):
        events.record(SEALS_CONTRADICT)
        raise SealsContradict(
            _(
                "The seal of %(day)s is not in this database. If it was restored to a moment "
                "before that, run `manage.py seal_ledgers --after-restore`; if not, somebody "
                "removed it."
            )
            % {"day": day}
        )
    return _keep(file, is_new=False)


def _follows(file: SealFile, newest: LedgerSeal | None) -> bool:
    """Whether a file has the seal after this one, of what is in this database."""
    follows = file.seal.previous_hash == (newest.entry_hash if newest else GENESIS_HASH)
    return follows and not any(_not_ours(file.seal)) and not any(_rewritten(file.heads))


@transaction.atomic
def set_newer_aside() -> list[date]:
    """Put aside the files of seals that this database does not know, because it was restored.

    Audited before the files are touched, which no transaction brings back.
    """
    known = LedgerSeal.objects.aggregate(newest=Max("date"))["newest"]
    newer = [day for day in seal_files.days() if known is None or day > known]
    if newer:
        events.record(SEALS_SET_ASIDE, days=len(newer))
        audit.record(action="seals.set_aside", row=LedgerSeal, after={"days": newer})
    for day in newer:
        seal_files.set_aside(day)
    return newer


def public_key() -> str:
    """What the seals of today are verified with, in hex: to be published where anybody finds it."""
    key = _private_key(key_ring.newest("seal").id)
    return key.public_key().public_bytes_raw().hex()


def _private_key(key_id: str) -> Ed25519PrivateKey:
    """The signing key of an entry of the key ring; raises key_ring.UnknownKey."""
    secret = key_ring.find("seal", key_id).secret
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret).digest())


# --- Checking -----------------------------------------------------------------------------------
def check_seals() -> Iterator[Finding]:
    """Compare the ledgers with every seal, and the seals with their files and with each other.

    A copy that was restored is judged by the seals up to its own moment. A file that is lost hides
    what it sealed and nothing else.
    """
    yield from unguarded_tables(LedgerSeal)
    rows = {seal.date: seal for seal in LedgerSeal.objects.order_by("sequence")}
    sealed: Heads | None = {}  # None: a file is lost, and with it what all heads were
    previous_hash = GENESIS_HASH
    for day in sorted({*rows, *seal_files.days()}):
        name = f"seal {day}"
        try:
            file = seal_files.read(day)
        except (FileNotFoundError, UnreadableSeal) as error:
            is_missing = isinstance(error, FileNotFoundError)
            problem = (
                _("its file is missing: what it seals cannot be checked")
                if is_missing
                else _("its file is damaged: what it seals cannot be checked")
            )
            yield Finding("seals", name, problem)
            sealed = None
            previous_hash = rows[day].entry_hash if day in rows else previous_hash
            continue
        seal = file.seal
        if day not in rows:
            if not _is_of_before(seal):
                return  # of a time that this database does not know, or not written down yet
            yield Finding("seals", name, _("was removed from the database"))
        elif seal_files.differ(rows[day], seal):
            yield Finding("seals", name, _("says something else than its file"))
        for problem in _not_ours(seal):
            yield Finding("seals", name, problem)
        if seal.previous_hash != previous_hash:
            yield Finding("seals", name, _("does not follow the seal before it"))
        previous_hash = seal.entry_hash
        if len(file.heads) == seal.accounts:
            sealed = {}  # after a loss, all heads were sealed anew
        if sealed is not None:
            _replay(sealed, file.heads)
        # The changes of each, and all heads of the newest: a year of seals costs no more to
        # read than what changed in it.
        is_newest = sealed is not None and day == max(rows, default=None)
        if seal.changes != _root(file.heads) or (is_newest and _summed(sealed) != _told(seal)):
            yield Finding("seals", name, _("its heads do not come to its root"))
        for head in _rewritten(file.heads):
            problem = _("its entry %(number)d is not the one that was sealed on %(day)s")
            account = ledgers[head.ledger].name_account(head.account_id)
            yield Finding("seals", account, problem % {"number": head.sequence, "day": day})


def _is_of_before(seal: LedgerSeal) -> bool:
    """Whether this database goes on after a seal, for longer than writing it down takes."""
    moment = _moment_of_database()
    return moment is not None and moment > seal.sealed_at + SETTLED


def _told(seal: LedgerSeal) -> tuple[str, int, int]:
    return seal.root, seal.accounts, seal.entries


def _summed(heads: Heads | None) -> tuple[str, int, int]:
    """Root, accounts and entries of these heads."""
    heads = heads or {}
    return _root(heads.values()), len(heads), sum(head.sequence for head in heads.values())


def say_what_is_unsealed() -> Iterator[str]:
    """How much came after the last seal, and which seals are of a time after this database's."""
    newest = LedgerSeal.objects.order_by("-sequence").first()
    entries = sum(ledger.entries._base_manager.count() for ledger in ledgers.values())
    later = [day for day in seal_files.days() if newest is None or day > newest.date]
    if newest is None:
        yield _("Nothing is sealed yet: %(count)d entries.") % {"count": entries}
    else:
        yield _("Not sealed yet, since %(day)s: %(count)d entries.") % {
            "day": newest.date,
            "count": entries - newest.entries,
        }
    if later:
        yield _("This database ends before the seal of %(day)s.") % {"day": later[0]}


def _moment_of_database() -> datetime | None:
    """The time of the newest thing in the ledgers; None when they are empty."""
    moments = [
        ledger.entries._base_manager.aggregate(newest=Max("created_at"))["newest"]
        for ledger in ledgers.values()
    ]
    return max((moment for moment in moments if moment is not None), default=None)


def _not_ours(seal: LedgerSeal) -> Iterator[str]:
    """Why a seal was not made by this platform, if it was not."""
    if seal.entry_hash != seal.computed_hash():
        yield _("was altered: its hash is not that of its fields")
    try:
        key = _private_key(seal.key_id).public_key()
        key.verify(bytes.fromhex(seal.signature), seal.entry_hash.encode())
    except key_ring.UnknownKey:
        yield _("was signed with the key %(key)s, which is not in the key ring") % {
            "key": seal.key_id
        }
    except (InvalidSignature, ValueError):
        yield _("its signature is not the platform's")


def _rewritten(heads: Iterable[Head]) -> Iterator[Head]:
    """Those of these sealed heads whose entry is not in the database as it was sealed."""
    for batch in batched(sorted(heads), BATCH_SIZE):
        for name in {head.ledger for head in batch}:
            of_ledger = [head for head in batch if head.ledger == name]
            gone = _without_entry(ledgers[name], of_ledger)
            yield from (head for head in of_ledger if (head.account_id, head.sequence) in gone)


def _without_entry(ledger: Ledger, heads: list[Head]) -> set[tuple[int, int]]:
    meta = ledger.entries._meta
    account = meta.get_field(ledger.account).column  # type: ignore[union-attr]
    sealed = ", ".join(["(%s, %s, %s)"] * len(heads))
    values = [
        value for head in heads for value in (head.account_id, head.sequence, head.entry_hash)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH sealed(account, number, hash) AS (VALUES {sealed}) "  # noqa: S608
            f"SELECT account, number FROM sealed LEFT JOIN {meta.db_table} entry "
            f"ON entry.{account} = account AND entry.sequence = number "
            "WHERE entry.entry_hash IS NULL OR entry.entry_hash <> hash",
            values,
        )
        return set(cursor.fetchall())
