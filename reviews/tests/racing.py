"""Letting many do the same thing at the same moment."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from config.errors import DomainError

RACERS = 50


def race(attempt, *, racers=RACERS):
    """Run `attempt(number)` in so many threads at once; their outcomes, refusals included."""
    start = threading.Barrier(racers, timeout=30)

    def run(number):
        start.wait()
        try:
            return attempt(number)
        except DomainError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))


def kinds(outcomes):
    """How many outcomes there are of each type."""
    return Counter(type(outcome) for outcome in outcomes)
