"""Who makes folders, a database and secrets, and who leaves no trace of having looked."""

import os
import subprocess
import sys

import pytest

from config.tests.test_settings import ROOT, SECURE, manage

NOWHERE = "/proc/nothing"  # not to be made, by root neither
UNSET = ("DATABASE_URL", "REDIS_URL", *SECURE)
SETUP = "import django; django.setup(); from django.conf import settings; "
# What modules do with it when they are imported.
HANDED_ON = SETUP + (
    "from django.core import signing; signing.Signer(); settings.SECRET_KEY or exit(1); "
    "import rest_framework_simplejwt.state, config.urls; print(settings.SECRET_KEY.__repr__())"
)


def python(program, **variables):
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **dict.fromkeys(UNSET, ""),
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- Who leaves no trace ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    ["check", "collectstatic --noinput -v0", "diffsettings", "spectacular --file /dev/null"],
)
def test_a_command_that_needs_no_data_makes_none(tmp_path, arguments):
    static = str(tmp_path / "static")
    finished = manage(tmp_path, *arguments.split(), STATIC_ROOT=static)
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", ["check", "collectstatic --noinput -v0"])
def test_it_runs_where_nothing_may_be_written(tmp_path, arguments):
    static = str(tmp_path / "static")
    finished = manage(tmp_path, *arguments.split(), DATA_DIR=NOWHERE, STATIC_ROOT=static)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("arguments", ["help", "--version", "migrate --help", "serve -h"])
def test_asking_how_a_command_is_called_makes_nothing(tmp_path, arguments):
    finished = manage(tmp_path, *arguments.split())
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("debug", [{"DEBUG": "1"}, SECURE], ids=["development", "production"])
def test_setting_django_up_makes_nothing(tmp_path, debug):
    finished = python(HANDED_ON, DATA_DIR=str(tmp_path / "data"), **debug)
    assert finished.stdout == "<secret>\n", finished.stderr
    assert not (tmp_path / "data").exists()


# --- Who makes what -----------------------------------------------------------------------------
@pytest.mark.parametrize("module", ["config.wsgi", "config.asgi"])
def test_a_server_makes_everything(tmp_path, module):
    finished = python(f"import {module}", DEBUG="1", DATA_DIR=str(tmp_path / "data"))
    assert finished.returncode == 0, finished.stderr
    made = {path.name for path in (tmp_path / "data").iterdir()}
    assert made >= {"db.sqlite3", "seals", "secrets"}
    assert len(list((tmp_path / "data" / "secrets").iterdir())) == 5


@pytest.mark.parametrize("arguments", ["serve", "worker", "migrate", "check --database default"])
def test_what_cannot_be_made_is_named_by_whoever_needs_it(tmp_path, arguments):
    finished = manage(tmp_path, *arguments.split(), DATA_DIR=NOWHERE)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith("DATA_DIR cannot be made: ")


@pytest.mark.parametrize("name", ["HASH_KEYS[0]", "SECRET_KEY"])
def test_a_script_gets_secrets_that_stay(tmp_path, name):
    program = SETUP + f"print(str(settings.{name}))"
    first, second = (python(program, DATA_DIR=str(tmp_path / "data")) for _ in range(2))
    assert first.stdout == second.stdout, first.stderr
    assert len(first.stdout.strip()) >= 48
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    refused = python(program, DATA_DIR=NOWHERE)
    assert "ImproperlyConfigured: DATA_DIR cannot be made: " in refused.stderr
