"""How long PostgreSQL works for requests, and for commands."""

from datetime import timedelta

import pytest

from config import time_limits
from config.time_limits import OF_COMMANDS, OF_REQUESTS


@pytest.fixture(autouse=True)
def as_before():
    before = time_limits.chosen()
    yield
    time_limits._chosen[0] = before


def test_whoever_chooses_nothing_has_those_of_requests():
    assert time_limits.chosen() == OF_REQUESTS


@pytest.mark.parametrize("name", ["serve", "worker", "runserver"])
def test_what_serves_people_has_those_of_requests(name):
    time_limits.choose([name, "--help"])
    assert time_limits.chosen() == OF_REQUESTS


@pytest.mark.parametrize("arguments", [["check_integrity"], ["migrate", "worker"], []])
def test_a_command_has_longer_ones(arguments):
    time_limits.choose(arguments)
    assert time_limits.chosen() == OF_COMMANDS
    assert OF_COMMANDS.statement > timedelta(minutes=30)
    assert all(longer > short for longer, short in zip(OF_COMMANDS, OF_REQUESTS, strict=True))


def test_they_are_said_in_milliseconds():
    assert OF_REQUESTS.as_options() == (
        "-c statement_timeout=30000 -c lock_timeout=5000"
        " -c idle_in_transaction_session_timeout=60000"
    )
