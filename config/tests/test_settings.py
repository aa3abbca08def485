"""What a person sees who starts the platform with a wrong setting: one sentence, exit status 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURE = {
    "DEBUG": "0",
    "SECRET_KEY": "x" * 60,
    "FIELD_ENCRYPTION_KEYS": "y" * 60,
    "ALLOWED_HOSTS": "shop.example",
}


def manage(tmp_path, *arguments, **variables):
    """Run manage.py with these variables alone; whatever .env says is overridden."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path / "data"),
        **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS"), ""),
        "FIELD_ENCRYPTION_KEYS": "",
        **variables,
    }
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "manage.py", *(arguments or ("check",))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({**SECURE, "SECRET_KEY": ""}, "SECRET_KEY is not set and DEBUG is off"),
        ({**SECURE, "FIELD_ENCRYPTION_KEYS": ""}, "FIELD_ENCRYPTION_KEYS is not set"),
        ({**SECURE, "ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set and DEBUG is off"),
        ({**SECURE, "SMS_FIXED_CODE": "123456"}, "SMS_FIXED_CODE is set and DEBUG is off"),
        ({"HOST": "0.0.0.0"}, "DEBUG is on and HOST is 0.0.0.0"),  # noqa: S104  refused
        ({"HOST": "shop.example"}, "DEBUG is on and HOST is shop.example"),
        ({"PORT": "eighty"}, "PORT cannot be read"),
        ({"DATABASE_URL": "mysql://a:b@c/d"}, "DATABASE_URL must be a postgres:// address"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(tmp_path, variables, sentence):
    finished = manage(tmp_path, "serve", **variables)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith(sentence)
    assert finished.stdout == ""


def test_production_with_its_secrets_starts(tmp_path):
    finished = manage(tmp_path, **SECURE)
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "data" / "secrets").exists()


def test_development_starts_on_loopback_and_makes_its_secrets(tmp_path):
    finished = manage(tmp_path, HOST="::1")
    assert finished.returncode == 0, finished.stderr
    names = {path.name for path in (tmp_path / "data" / "secrets").iterdir()}
    assert names == {"secret_key", "field_encryption_keys"}


SHOW = (
    "from django.conf import settings as s; "
    "print(s.SMS_FIXED_CODE, s.LIMIT_LOOPBACK_ADDRESSES, s.DEBUG, s.SECURE_SSL_REDIRECT)"
)


def test_the_fixed_code_and_the_open_loopback_are_developments_alone(tmp_path):
    shell = ("shell", "--no-imports", "-c", SHOW)
    assert manage(tmp_path, *shell).stdout.split() == ["123456", "False", "True", "False"]
    production = manage(tmp_path, *shell, **SECURE)
    assert production.stdout.split() == ["True", "False", "True"], production.stderr


def test_a_second_start_keeps_the_secrets(tmp_path):
    shell = (
        "shell",
        "--no-imports",
        "-c",
        "from django.conf import settings as s; print(s.SECRET_KEY)",
    )
    first, second = manage(tmp_path, *shell).stdout, manage(tmp_path, *shell).stdout
    assert first == second
    assert len(first.split()[0]) >= 50
