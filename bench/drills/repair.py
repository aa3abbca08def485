"""Corruptions are planted, and `repair_integrity --apply` repairs each or says why nobody can.

What is planted is what somebody does who may write every row and has no key: `tests/forgeries.py`,
against which the checks were built. Afterwards no row of a ledger is another one than before, what
was repaired is found no more, what was not is named with a reason and a way out, and a second run
changes nothing.

In its small form each kind is planted once.
"""

import hashlib
import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

from bench.drills import DidNotHold, Say
from tests.servers import running_servers

PLANTED = 1_000
# What can be repaired: all else is named as beyond repair.
REPAIRED = {
    "add_a_reversal",
    "add_an_adjustment",
    "add_an_expiry",
    "lead_a_merge_elsewhere",
    "own_one_account_more",
    "push_pity",
    "raise_a_balance",
    "raise_lifetime_points",
    "raise_sales",
    "raise_stock",
    "take_back_a_merge",
}


def drill(*, small: bool, say: Say) -> None:
    """Plant corruptions on a PostgreSQL of its own, and repair them."""
    with running_servers() as servers:
        # Before Django is set up: the settings read their addresses once.
        os.environ.update(servers.environment, DJANGO_SETTINGS_MODULE="config.settings")
        import django

        django.setup()
        from django.core.management import call_command
        from django.utils.translation import override

        call_command("migrate", verbosity=0)
        with override("en"):
            plant_and_repair(count=None if small else PLANTED, say=say)


def plant_and_repair(*, count: int | None, say: Say) -> None:
    """Plant so many corruptions in the database at hand, or one of each kind; see the module.

    Raises DidNotHold.
    """
    begun = time.monotonic()
    planted = _plant(count)
    say(f"{len(planted)} corruptions of {len({kind for kind, _name in planted})} kinds planted")
    say(f"made and planted in {time.monotonic() - begun:.0f} s")
    before = _digests()
    begun = time.monotonic()
    said = _repair()
    say(
        f"{len(said['repaired'])} repaired, {len(said['findings'])} named as beyond repair, in "
        f"{time.monotonic() - begun:.0f} s"
    )
    if (touched := _touched(before)) or said["refused"]:
        raise DidNotHold(f"touched: {touched}; refused: {said['refused'][:3]}")
    _compare(planted, said)
    outcomes = Counter("repaired" if kind in REPAIRED else "beyond repair" for kind, _ in planted)
    say(f"of those that were planted {dict(outcomes)}; no row of a ledger was touched")
    rows = _digests()
    again = _repair()
    if again["repaired"] or again["findings"] != said["findings"] or _digests() != rows:
        raise DidNotHold("a second run changed something, or found something else")
    say("a second run changed nothing")


def _plant(count: int | None) -> list[tuple[str, str]]:
    """Change rows past all triggers; returns what was done, and what a finding has to name."""
    from django.db import connection

    from accounts.tests.factories import make_staff
    from catalog.tests.factories import make_shop
    from lottery.tests.factories import make_wheel, points_prize
    from tests import forgeries
    from tests.ledgers import past_the_triggers
    from tests.people import make_person

    kinds: list[Callable[[Any], str]] = [
        *forgeries.OF_PEOPLE, *forgeries.OF_PRODUCTS, *forgeries.OF_THE_TRAIL,
    ]  # fmt: skip
    number = len(kinds) if count is None else count - len(forgeries.OF_MERGES)
    shop, reviewer = make_shop(), make_person()
    wheel = make_wheel(points_prize("50", probability=1), pity_threshold=None)
    subjects = forgeries.make_subjects(number, shop=shop, wheel=wheel, reviewer=reviewer)
    author = make_staff()
    pairs = [
        forgeries.make_pair(shop=shop, reviewer=reviewer, author=author)
        for _forgery in forgeries.OF_MERGES
    ]
    if found := list(_found()):
        raise DidNotHold(f"something is found before anything was planted: {found[:3]}")
    with connection.cursor() as cursor, past_the_triggers(cursor):
        done = [
            (forge.__name__, forge(subject))
            for subject, forge in zip(subjects, cycle(kinds), strict=False)
        ]
        done += [
            (forge.__name__, forge(pair))
            for pair, forge in zip(pairs, forgeries.OF_MERGES, strict=True)
        ]
    return done


def _found() -> Iterator[str]:
    from ops.services import integrity

    for name in integrity.checks.names():
        yield from map(str, integrity.run(name))


def _repair() -> dict[str, Any]:
    """What the command says it did and left."""
    from django.core.management import CommandError, call_command

    output = io.StringIO()
    try:
        call_command("repair_integrity", "--apply", "--yes", "--json", stdout=output)
    except CommandError as error:
        if error.returncode != 1:
            raise DidNotHold(str(error)) from error
    said: dict[str, Any] = json.loads(output.getvalue())
    return said


def _compare(planted: list[tuple[str, str]], said: dict[str, Any]) -> None:
    """See that each was repaired and is found no more, or is named with a reason and a way out."""
    left = {one["object"] for one in said["findings"]}
    # What takes back an entry is told at the entry.
    repaired = {one["object"] for one in said["repaired"]}
    helped = {one["object"] for one in said["findings"] if one.get("reason") and one.get("way_out")}
    for kind, name in planted:
        is_right = name in repaired - left if kind in REPAIRED else name in helped - repaired
        if not is_right:
            raise DidNotHold(f"{kind}, which {name} tells of, was neither repaired nor named")
    if can := [one["object"] for one in said["findings"] if one["can"] == "repair"]:
        raise DidNotHold(f"left although it could be repaired: {can[:3]}")


# --- Rows that nobody may touch -------------------------------------------------------------------
type Digests = dict[str, tuple[int, str]]


def _digests(until: Digests | None = None) -> Digests:
    """Of each append-only table the newest id, and a digest of all rows up to that of before."""
    from django.apps import apps
    from django.db import connection

    from ops.append_only import unguarded

    digests: Digests = {}
    for model in apps.get_models():
        table = model._meta.db_table
        if any(unguarded(connection, table)):
            continue  # not append-only
        columns = [field.attname for field in model._meta.concrete_fields]
        rows = model._base_manager.order_by("pk").values_list(*columns)
        if until is not None:
            rows = rows[: until[table][0]] if table in until else rows.none()
        digest = hashlib.sha256()
        count = 0
        for row in rows.iterator():
            digest.update(repr(row).encode())
            count += 1
        digests[table] = (count, digest.hexdigest())
    return digests


def _touched(before: Digests) -> list[str]:
    """The append-only tables in which a row of before is another one now, or gone."""
    now = _digests(before)
    return [table for table, digest in before.items() if now.get(table) != digest]
