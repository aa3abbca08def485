"""Every way to start the platform asks whether what is stored of the settings is accepted."""

import subprocess

import pytest

from config.tests.test_key_check import IN_AN_EVENT_LOOP, WSGI, python
from config.tests.test_settings import SECURE
from tests.live import own_database

KEY = "points.register_bonus"
STORE = (
    "from ops.models import LiveSetting as S; "
    f"S.objects.update_or_create(key='{KEY}', defaults={{'value': 'many'}})"
)
STARTS = [("manage.py", "serve"), ("manage.py", "worker"), WSGI, ("-c", IN_AN_EVENT_LOOP)]
NAMES = ["serve", "worker", "wsgi", "asgi"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Production whose database holds what another version stored."""
    with own_database() as database:
        folder = str(tmp_path_factory.mktemp("settings"))
        variables = {
            "DATA_DIR": folder,
            "STATIC_ROOT": folder,
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "LANGUAGE_CODE": "en",
            **SECURE,
            **database,
        }
        done(python(variables, "manage.py", "migrate", "-v0"))
        yield variables


def done(finished: "subprocess.CompletedProcess[str]") -> str:
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def store(environment):
    done(python(environment, "manage.py", "shell", "--no-imports", "-c", STORE))


@pytest.mark.parametrize("arguments", STARTS, ids=NAMES)
def test_what_is_not_accepted_stops_every_start_by_a_sentence(environment, arguments):
    store(environment)
    finished = python(environment, *arguments)
    assert finished.returncode == 1
    assert finished.stdout == ""
    last = finished.stderr.strip().splitlines()[-1]
    assert f'The setting {KEY} is stored as "many", which this version does not accept' in last
    assert f"manage.py settings reset {KEY} goes back to the default." in last
    if arguments[0] == "manage.py":
        assert len(finished.stderr.splitlines()) == 1


def test_the_way_out_is_open(environment):
    store(environment)
    assert done(python(environment, "manage.py", "settings", "get", KEY)) == '"many"\n'
    done(python(environment, "manage.py", "settings", "reset", KEY))
    assert done(python(environment, "manage.py", "settings", "get", KEY)) == "1000\n"
    store(environment)
    done(python(environment, "manage.py", "settings", "set", KEY, "5"))
    for arguments in STARTS[2:]:
        done(python(environment, *arguments))


def test_exit_codes_are_those_of_the_command(environment):
    refused = python(environment, "manage.py", "settings", "set", KEY, "many")
    unknown = python(environment, "manage.py", "settings", "get", "points.none")
    assert (refused.returncode, unknown.returncode) == (1, 2)
    assert refused.stderr == f"CommandError: {KEY}: Write a whole number.\n"


def test_a_process_that_was_forked_reads_for_itself(environment):
    """What was read before the fork may be old by the first request."""
    done(python(environment, "manage.py", "settings", "reset", KEY))
    text = f"""
import os, subprocess, sys
import config.wsgi
from accounts.live_settings import REGISTER_BONUS
assert REGISTER_BONUS.value == 1000
from django.db import connection
connection.close(); getattr(connection, "close_pool", lambda: None)()
subprocess.run([sys.executable, "manage.py", "settings", "set", "{KEY}", "5"], check=True)
assert REGISTER_BONUS.value == 1000, "this process has no pulse before its first request"
child = os.fork()
if not child:
    os._exit(REGISTER_BONUS.value)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
"""
    finished = python(environment, "-W", "ignore", "-c", text)
    assert finished.returncode == 0, finished.stderr
