"""A server that others may reach runs with DEBUG only where somebody said so."""

import os
import subprocess
import sys

import pytest

from config.tests.test_settings import ROOT, SECURE

IMPORTS = ["import config.wsgi", "import config.asgi"]
UNSET = ("DATABASE_URL", "REDIS_URL", "DEBUG", *SECURE)


def start(tmp_path, program, **variables):
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(tmp_path / "data"),
            **dict.fromkeys(UNSET, ""),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", IMPORTS)
def test_debug_that_nobody_asked_for_is_refused(tmp_path, program):
    finished = start(tmp_path, program)
    assert finished.returncode == 1
    assert "ImproperlyConfigured: DEBUG is not set, and a server of config.wsgi or" in (
        finished.stderr
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("program", IMPORTS)
@pytest.mark.parametrize("variables", [{"DEBUG": "1"}, SECURE], ids=["asked for", "off"])
def test_what_was_said_starts(tmp_path, program, variables):
    finished = start(tmp_path, program, **variables, STATIC_ROOT=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
