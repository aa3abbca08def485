"""A million guesses at sign-in codes, at the real services: how many are compared, and right.

    python -m bench.guesses [--guesses 1000000] [--phones 1000] [--seed 7]

Each phone is attacked for one day by somebody who asks for a code whenever they may, the first time
just before midnight, and guesses at each as often as they like, never the same number twice. The
clock is moved, not waited for; everything else is what production runs. At most 50 guesses of a
phone and day are compared with a code, so that one is right with a chance of 50 in 1,000,000: that
is 5 in 100,000.

With a thousand codes instead of a million (`--digits 3`) right guesses are frequent enough to be
counted: their share of the days stays within 50 in 1,000.
"""

import argparse
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

TRIES_A_DAY = 50  # 10 codes with 5 tries each
ROUNDS = 16  # codes that are asked for: more than there are in a day


@dataclass
class Sum:
    """What came of the guesses."""

    guesses: int = 0
    codes: int = 0
    compared: int = 0
    most_compared_of_a_day: int = 0
    days: int = 0
    days_broken: int = 0


class Clock:
    """The time, as this attack has it."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


@contextmanager
def moved_clock(clock: Clock) -> Iterator[None]:
    """Let everything read this clock instead of the machine's."""
    from django.utils import timezone

    with mock.patch.object(timezone, "now", clock.now):
        yield


def attack(phone: str, *, guesses: int, start: datetime, chance: random.Random, sums: Sum) -> None:
    """Attack a phone for the day that begins at `start`, with a code of the evening before."""
    from django.db import transaction

    clock = Clock(start - timedelta(seconds=1))
    compared, is_broken = 0, False
    with moved_clock(clock), transaction.atomic():  # committing each guess would take longer
        for asked in range(ROUNDS):
            sums.codes += _ask(phone)
            clock.time = start + timedelta(seconds=61 * asked)
            in_this_round = guesses // ROUNDS + (asked < guesses % ROUNDS)
            for number in chance.sample(range(10 ** _digits()), in_this_round):
                outcome = "over" if is_broken else _guess(phone, number)
                compared += outcome in {"right", "wrong"}
                is_broken |= outcome == "right"
            clock.time = start + timedelta(seconds=61 * (asked + 1))
    sums.guesses += guesses
    sums.days += 1
    sums.days_broken += is_broken
    sums.compared += compared
    sums.most_compared_of_a_day = max(sums.most_compared_of_a_day, compared)


def _digits() -> int:
    from accounts.services import sign_in_codes

    return sign_in_codes.DIGITS


def _ask(phone: str) -> bool:
    """Ask for a code; whether there is a new one."""
    from accounts.errors import CodeAskedTooOften
    from accounts.services import sign_in_codes

    try:
        sign_in_codes.ask_code(phone=phone, address="127.0.0.1")
    except CodeAskedTooOften:
        return False
    return True


def _guess(phone: str, number: int) -> str:
    """Guess; whether it was right, wrong, or compared with nothing since the code is void."""
    from accounts.errors import CodeVoid, WrongCode
    from accounts.services import sign_in_codes

    code = f"{number:0{_digits()}d}"
    try:
        sign_in_codes.use_code(phone=phone, code=code, address="127.0.0.1")
    except WrongCode:
        return "wrong"
    except CodeVoid:
        return "void"
    return "right"


def run(*, guesses: int, phones: int, seed: int, digits: int = 6) -> Sum:
    """Attack so many phones; the database is that of the settings, and is written to."""
    from django.test import override_settings
    from django.utils import timezone

    from accounts.services import sign_in_codes
    from ops.days import start_of_day

    chance, sums = random.Random(seed), Sum()
    drawn: Any = mock.Mock(randbelow=chance.randrange)
    quiet = override_settings(
        SMS_FIXED_CODE="",
        SMS_SENDER="bench.guesses.Nowhere",
        LIMIT_LOOPBACK_ADDRESSES=False,
    )
    with (
        quiet,
        mock.patch.object(sign_in_codes, "DIGITS", digits),
        mock.patch.object(sign_in_codes, "secrets", drawn),
    ):
        start = start_of_day(timezone.now(), days_later=1)
        for number in range(phones):
            attack(
                f"139{number:08d}",
                guesses=guesses // phones,
                start=start,
                chance=chance,
                sums=sums,
            )
    return sums


class Nowhere:
    """A provider that takes every code and sends none."""

    def send_code(self, *, phone: str, code: str) -> None:
        """Send nothing."""


def main() -> None:
    """Run the drill on a SQLite of its own, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guesses", type=int, default=1_000_000)
    parser.add_argument("--phones", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--digits", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "DATABASE_URL": "", "REDIS_URL": "", "DEBUG": "1"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
        sums = run(guesses=asked.guesses, phones=asked.phones, seed=asked.seed, digits=asked.digits)
    bound = TRIES_A_DAY / 10**asked.digits
    print(f"{sums.guesses:,} guesses at {sums.codes:,} codes of {sums.days:,} phones, a day each")
    print(f"{sums.compared:,} were compared, at most {sums.most_compared_of_a_day} of one day")
    print(
        f"{sums.days_broken:,} days broken; chance {sums.most_compared_of_a_day / 10**asked.digits}"
        f" of a day, bound {bound}"
    )
    if sums.most_compared_of_a_day > TRIES_A_DAY:
        raise SystemExit("Over the bound.")


if __name__ == "__main__":
    main()
