"""Backups are damaged in every way there is, a thousand times, and nobody believes one of them.

Platforms of their own on SQLite and on PostgreSQL, with rows and a file whose texts are known, are
backed up by `manage.py backup`: full ones, increments after them, and others that could be taken
for them. One damage after the other is done to what lies there and taken back; each time all that
`verify_backup` and `restore_backup` read first is read, and has to be refused by the name of what
was damaged. Then some of each kind go through `restore_backup` itself: it ends with 1 and one line,
and the live database is what it was. None of the texts is found in any file.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import programs
from bench.drills import DidNotHold, Say
from bench.drills.cluster import PLATFORM, Cluster, clusters, running
from bench.stage import production

TIMES, TIMES_SMALL = 1_000, 150
PHONE, NAME, NOTE = "13788880001", "Wang Planted", "a note that nobody may read"
PICTURE = "the words of a picture"
PLANTED = (PHONE, NAME, NOTE, PICTURE)
PLANT = f"""
from accounts.models import User
from catalog.models import Shop
from ops.models import FilePurpose
from ops.services import files
User.objects.create(phone={PHONE!r}, nickname={NAME!r})
Shop.objects.create(name={NOTE!r})
files.store(content={PICTURE.encode()!r}, purpose=FilePurpose.RECEIPT, media_type="image/png")
"""
CHANGE = "from catalog.models import Shop; Shop.objects.create(name='Shop {number}')"
# What may be edited in a manifest, and into what.
EDITS: dict[str, Any] = {
    "row_counts": {},
    "parent": None,
    "parent_seal": "0" * 64,
    "engine": "other",
    "finished_at": "2020-01-01T00:00:00+00:00",
    "migrations": [],
    "pieces": [],
    "key_id": "0" * 12,
    "seal": "0" * 64,
    "format": 2,
}
Damage = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Shelf:
    """A platform's backups: two chains, the first of which is damaged."""

    name: str
    environment: dict[str, str]
    links: list[str]  # identifiers, the full one first
    others: list[str]
    state: Callable[[], str]  # a digest of the live database

    @property
    def root(self) -> Path:
        """The folder of the backups."""
        return Path(self.environment["BACKUP_DIR"])

    def file(self, chance: random.Random) -> Path:
        """Any file of the chain."""
        return chance.choice(sorted((self.root / chance.choice(self.links)).iterdir()))


def drill(*, small: bool, say: Say) -> None:
    times = TIMES_SMALL if small else TIMES
    with clusters() as folder, ExitStack() as stack:
        cluster = Cluster(
            folder / "postgresql", programs.free_port(), wal_level="replica", summarize_wal="on"
        )
        if not small:
            stack.enter_context(running(cluster))
            cluster.make()
            cluster.sql(f"ALTER ROLE {PLATFORM} CREATEDB REPLICATION")
        data = folder / "data"
        data.mkdir()
        keys = production("", "", str(data))
        os.environ.update(keys)
        shelves = [_sqlite(folder, keys, small=small)]
        if not small:
            shelves += [_postgresql(folder, keys, cluster, method=one) for one in ("dump", "pages")]
        import django
        from django.utils import translation

        django.setup()
        translation.activate("en")
        for number, shelf in enumerate(shelves):
            _check_whole(shelf)
            _check_secret(shelf, say)
            chance = random.Random(number)
            seen = _damage(shelf, times // len(shelves) + 1, chance)
            said = ", ".join(f"{many} {kind}" for kind, many in sorted(seen.items()))
            say(f"{shelf.name}: {sum(seen.values())} damages, all refused and named: {said}")
            _restore_damaged(shelf, chance, say, most=1 if small else len(KINDS))
            _check_whole(shelf)


# --- Backups --------------------------------------------------------------------------------------
def _sqlite(folder: Path, keys: dict[str, str], *, small: bool) -> Shelf:
    data = folder / "sqlite"
    environment = _environment(keys, data, DEBUG="1", DATABASE_URL="")
    _make(environment)
    links = [_backup(environment, "--full")]
    for number in range(1 if small else 2):
        _shell(environment, CHANGE.format(number=number))
        links.append(_backup(environment, "--incremental"))
    others = [_backup(environment, "--full"), _backup(environment, "--incremental")]
    return Shelf(
        f"SQLite, a full one and {len(links) - 1} after it",
        environment,
        links,
        others,
        lambda: _rows_of(data / "db.sqlite3"),
    )


def _postgresql(folder: Path, keys: dict[str, str], cluster: Cluster, *, method: str) -> Shelf:
    environment = _environment(
        keys,
        folder / "of PostgreSQL",
        # One platform, whose files lie in one folder, and its backups by either method.
        BACKUP_DIR=str(folder / f"backups by {method}"),
        DATABASE_URL=cluster.url,
        BACKUP_METHOD=method,
        PG_TOOLS_DIR=str(cluster.programs),
    )
    if method == "dump":
        _make(environment)
    links, others = [_backup(environment, "--full")], [_backup(environment, "--full")]
    if method == "pages":
        # What follows the second one is nobody's link, and could be taken for one.
        others.append(_backup(environment, "--incremental"))
    return Shelf(f"PostgreSQL, {method}", environment, links, others, lambda: _digest(cluster))


def _environment(keys: dict[str, str], data: Path, **more: str) -> dict[str, str]:
    data.mkdir(mode=0o700, exist_ok=True)
    own = {"DATA_DIR": str(data), "BACKUP_DIR": str(data / "backups"), "LANGUAGE_CODE": "en"}
    return {**os.environ, **keys, **own, **more}


def _make(environment: dict[str, str]) -> None:
    _manage(environment, "migrate", "--verbosity=0")
    _shell(environment, PLANT)


def _backup(environment: dict[str, str], kind: str) -> str:
    before = _identifiers(environment)
    _manage(environment, "backup", kind)
    (made,) = _identifiers(environment) - before
    return made


def _identifiers(environment: dict[str, str]) -> set[str]:
    root = Path(environment["BACKUP_DIR"])
    return {path.parent.name for path in root.glob("*/manifest.json")}


def _shell(environment: dict[str, str], code: str) -> None:
    _manage(environment, "shell", "--no-imports", "-c", code)


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = _tried(environment, *arguments)
    if done.returncode:
        raise DidNotHold(f"{arguments[0]} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout


def _tried(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=programs.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _rows_of(file: Path) -> str:
    with closing(sqlite3.connect(file)) as live:
        rows = live.execute("SELECT phone, nickname FROM accounts_user ORDER BY id").fetchall()
        return repr((rows, live.execute("SELECT name FROM catalog_shop ORDER BY id").fetchall()))


def _digest(cluster: Cluster) -> str:
    """What databases there are, and the rows of the live one by number."""
    names = cluster.sql("SELECT datname FROM pg_database ORDER BY 1")
    rows = cluster.sql("SELECT phone, nickname FROM accounts_user ORDER BY id", database=PLATFORM)
    shops = cluster.sql("SELECT name FROM catalog_shop ORDER BY id", database=PLATFORM)
    return repr((names, rows, shops))


# --- Reading --------------------------------------------------------------------------------------
def _read(shelf: Shelf) -> None:
    """All that is read of a backup before anything is touched. Raises BackupRefused."""
    from ops.backups import media, reading, shared_files
    from ops.backups.places import Folder

    place = Folder(shelf.root)
    chain = reading.chain(place, shelf.links[-1])
    for link in chain:
        link.verify()
    listed = shared_files.listing(chain[-1])
    media.check(listed, open_file=shared_files.opener(place, chain[-1].manifest))


def _check_whole(shelf: Shelf) -> None:
    from ops.backups.errors import BackupRefused

    try:
        _read(shelf)
    except BackupRefused as refusal:
        raise DidNotHold(f"{shelf.name}: refused without a damage: {refusal}") from None


def _check_secret(shelf: Shelf, say: Say) -> None:
    from ops.backups import reading
    from ops.backups.places import Folder
    from ops.services import key_ring

    held = [path for path in shelf.root.rglob("*") if path.is_file()]
    for path in held:
        content = path.read_bytes()
        for text in PLANTED:
            if text.encode() in content or text.encode("utf-16-le") in content:
                raise DidNotHold(f"{shelf.name}: {text!r} is to be read in {path}.")
    for identifier in [*shelf.links, *shelf.others]:
        found = reading.find(Folder(shelf.root), identifier).manifest.key_id
        if found != key_ring.newest("field").id:
            raise DidNotHold(f"{shelf.name}: {identifier} was made under the key {found}.")
    say(f"{shelf.name}: no known text in {len(held)} files; all under the newest key")


# --- Damages --------------------------------------------------------------------------------------
def _damage(shelf: Shelf, times: int, chance: random.Random) -> Counter[str]:
    from ops.backups.errors import BackupRefused

    seen: Counter[str] = Counter()
    for number in range(times):
        kind = list(KINDS)[number % len(KINDS)]
        with _damaged(shelf, kind, chance) as named:
            if named is None:
                continue  # such as a link that was exchanged, where there is one alone
            try:
                _read(shelf)
            except BackupRefused as refusal:
                if not any(one in str(refusal) for one in named):
                    raise DidNotHold(f"{shelf.name}, {kind}: not named: {refusal}") from None
            else:
                raise DidNotHold(f"{shelf.name}, {kind}: nobody noticed ({', '.join(named)}).")
        seen[kind] += 1
    return seen


@contextmanager
def _damaged(shelf: Shelf, kind: str, chance: random.Random) -> Iterator[list[str] | None]:
    """Do one damage and take it back; yields the names of which a refusal has to say one."""
    aside = shelf.root.parent / "whole"
    shutil.copytree(shelf.root, aside, copy_function=os.link)  # files are replaced, not changed
    try:
        yield KINDS[kind](shelf, chance)
    finally:
        shutil.rmtree(shelf.root)
        aside.rename(shelf.root)


def _write(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _flip(shelf: Shelf, chance: random.Random) -> list[str]:
    path = shelf.file(chance)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    _write(path, bytes(content))
    return [path.parent.name]


def _cut(shelf: Shelf, chance: random.Random) -> list[str]:
    path = shelf.file(chance)
    content = path.read_bytes()
    _write(path, content[: chance.randrange(len(content))])
    return [path.parent.name]


def _lengthen(shelf: Shelf, chance: random.Random) -> list[str]:
    path = shelf.file(chance)
    _write(path, path.read_bytes() + chance.randbytes(chance.randrange(1, 100)))
    return [path.parent.name]


def _remove_piece(shelf: Shelf, chance: random.Random) -> list[str]:
    path = shelf.file(chance)
    path.unlink()
    return [path.parent.name]


def _edit(shelf: Shelf, chance: random.Random) -> list[str] | None:
    path = shelf.root / chance.choice(shelf.links) / "manifest.json"
    facts = json.loads(path.read_bytes())
    name = chance.choice(sorted(EDITS))
    if facts[name] == EDITS[name]:
        return None
    _write(path, json.dumps({**facts, name: EDITS[name]}, indent=1).encode() + b"\n")
    return [path.parent.name]


def _exchange_piece(shelf: Shelf, chance: random.Random) -> list[str] | None:
    path = shelf.file(chance)
    found = [shelf.root / other / path.name for other in [*shelf.links, *shelf.others]]
    found = [one for one in found if one.exists() and one.parent != path.parent]
    if not found:
        return None
    _write(path, chance.choice(found).read_bytes())
    return [path.parent.name]


def _exchange_link(shelf: Shelf, chance: random.Random) -> list[str] | None:
    """Another backup, whole, in the place of one."""
    link = chance.choice(shelf.links)
    other = chance.choice([one for one in [*shelf.links, *shelf.others] if one != link])
    shutil.rmtree(shelf.root / link)
    shutil.copytree(shelf.root / other, shelf.root / link, copy_function=os.link)
    return [link]


def _remove_link(shelf: Shelf, chance: random.Random) -> list[str]:
    link = chance.choice(shelf.links)
    shutil.rmtree(shelf.root / link)
    return [link]


def _damage_file(shelf: Shelf, chance: random.Random) -> list[str]:
    """The picture that all of them share."""
    path = chance.choice(sorted(one for one in (shelf.root / "shared").rglob("*.age")))
    how = chance.choice([_cut, _flip])
    content = bytearray(path.read_bytes())
    if how is _flip:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    else:
        content = content[: chance.randrange(len(content))]
    _write(path, bytes(content))
    return [path.name, "default:"]


KINDS: dict[str, Callable[[Shelf, random.Random], list[str] | None]] = {
    "bits flipped": _flip,
    "cut off": _cut,
    "lengthened": _lengthen,
    "pieces missing": _remove_piece,
    "manifests edited": _edit,
    "pieces exchanged": _exchange_piece,
    "backups exchanged": _exchange_link,
    "links missing": _remove_link,
    "files damaged": _damage_file,
}


# --- Through the command --------------------------------------------------------------------------
def _restore_damaged(shelf: Shelf, chance: random.Random, say: Say, *, most: int) -> None:
    before = shelf.state()
    refused = 0
    for kind in list(KINDS)[:most]:
        with _damaged(shelf, kind, chance) as named:
            if named is not None:
                _expect_refusal(shelf, kind, before, named=named, environment=shelf.environment)
                refused += 1
    other = {**shelf.environment, "FIELD_ENCRYPTION_KEYS": "of somebody else" * 3}
    _expect_refusal(
        shelf,
        "another key",
        before,
        named=[shelf.links[-1], shelf.links[0]],
        environment=other,
    )
    say(f"{shelf.name}: restore_backup refused {refused + 1} of them, and the live one stayed")


def _expect_refusal(
    shelf: Shelf, kind: str, before: str, *, named: list[str], environment: dict[str, str]
) -> None:
    done = _tried(environment, "restore_backup", shelf.links[-1], "--yes")
    # Beside lines of the log, which begin with a date, or are JSON.
    lines = [one for one in done.stderr.strip().splitlines() if not re.match(r"\d{4}-|\{", one)]
    if done.returncode != 1 or len(lines) != 1 or not any(one in lines[0] for one in named):
        raise DidNotHold(f"{shelf.name}, {kind}: {done.returncode}, {done.stdout}{done.stderr}")
    if shelf.state() != before:
        raise DidNotHold(f"{shelf.name}, {kind}: the live database is another one.")
