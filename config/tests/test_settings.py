"""What a person sees who starts the platform with a wrong setting: one sentence, exit status 1."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURE = {
    "DEBUG": "0",
    "SECRET_KEY": "x" * 60,
    "FIELD_ENCRYPTION_KEYS": "y" * 60,
    "HASH_KEYS": "h" * 60,
    "TOKEN_KEYS": "t" * 60,
    "SEAL_KEYS": "s" * 60,
    "ALLOWED_HOSTS": "shop.example",
    "TRUSTED_PROXIES": "0",
    "SMS_SENDER": "accounts.sms.NoSender",
}

ALIYUN, TENCENT = "accounts.sms.aliyun.AliyunSender", "accounts.sms.tencent.TencentSender"


def manage(tmp_path, *arguments, **variables):
    """Run manage.py with these variables alone; whatever .env says is overridden."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path / "data"),
        **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS"), ""),
        **dict.fromkeys(("FIELD_ENCRYPTION_KEYS", "HASH_KEYS", "TOKEN_KEYS", "SEAL_KEYS"), ""),
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
        ({**SECURE, "HASH_KEYS": ""}, "HASH_KEYS is not set and DEBUG is off. Set it to a long"),
        ({**SECURE, "TOKEN_KEYS": ""}, "TOKEN_KEYS is not set and DEBUG is off"),
        ({**SECURE, "SEAL_KEYS": ""}, "SEAL_KEYS is not set and DEBUG is off"),
        ({**SECURE, "ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set and DEBUG is off"),
        ({**SECURE, "SMS_FIXED_CODE": "123456"}, "SMS_FIXED_CODE is set and DEBUG is off"),
        ({**SECURE, "TRUSTED_PROXIES": ""}, "TRUSTED_PROXIES is not set and DEBUG is off"),
        (
            {**SECURE, "EMAIL_URL": "mailto://user:password@smtp.example.com"},
            "EMAIL_URL reaches smtp.example.com without TLS",
        ),
        ({**SECURE, "EMAIL_URL": "mailtos://:x"}, "EMAIL_URL cannot be read"),
        ({**SECURE, "SMS_SENDER": ""}, "SMS_SENDER is not set and DEBUG is off"),
        (
            {**SECURE, "SMS_SENDER": "accounts.sms.ConsoleSender"},
            "SMS_SENDER is accounts.sms.ConsoleSender and DEBUG is off",
        ),
        (
            {**SECURE, "SMS_SENDER": "accounts.sms.NoSender, accounts.sms.ConsoleSender"},
            "SMS_SENDER is accounts.sms.NoSender, accounts.sms.ConsoleSender and DEBUG is off",
        ),
        (
            {"SMS_SENDER": ALIYUN, "SMS_ALIYUN_ACCESS_KEY_ID": "LTAI"},
            f"SMS_SENDER names {ALIYUN}, and SMS_ALIYUN_ACCESS_KEY_SECRET is not set",
        ),
        (
            {"SMS_SENDER": f"accounts.sms.NoSender,{TENCENT}"},
            f"SMS_SENDER names {TENCENT}, and SMS_TENCENT_SECRET_ID is not set",
        ),
        ({"SMS_TENCENT_PARAMETERS": "code,phone"}, "SMS_TENCENT_PARAMETERS names phone"),
        (
            {**SECURE, "SMS_ALIYUN_ENDPOINT": "http://sms.example"},
            "SMS_ALIYUN_ENDPOINT reaches sms.example without TLS",
        ),
        (
            {**SECURE, "SMS_TENCENT_ENDPOINT": "http://sms.example"},
            "SMS_TENCENT_ENDPOINT reaches sms.example without TLS",
        ),
        ({"WECHAT_APP_ID": "wx1"}, "WECHAT_APP_ID is set and WECHAT_APP_SECRET is not"),
        (
            {**SECURE, "WECHAT_URL": "http://wechat.example"},
            "WECHAT_URL reaches wechat.example without TLS",
        ),
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
    finished = manage(tmp_path, "check", "--database", "default", HOST="::1")
    assert finished.returncode == 0, finished.stderr
    names = {path.name for path in (tmp_path / "data" / "secrets").iterdir()}
    rings = {"hash_keys", "token_keys", "field_encryption_keys", "seal_keys"}
    assert names == {"secret_key"} | rings


def test_no_secret_is_shown_with_the_settings(tmp_path):
    shown = manage(tmp_path, "diffsettings", "--all", **SECURE).stdout
    assert "HASH_KEYS = (<secret>,)" in shown
    assert "SECRET_KEY = <secret>" in shown
    assert [secret for secret in SECURE.values() if len(secret) == 60 and secret in shown] == []


SHOW = (
    "from django.conf import settings as s; "
    "print(s.SMS_FIXED_CODE, s.LIMIT_LOOPBACK_ADDRESSES, s.DEBUG, s.SECURE_SSL_REDIRECT)"
)


def test_the_fixed_code_and_the_open_loopback_are_developments_alone(tmp_path):
    shell = ("shell", "--no-imports", "-c", SHOW)
    assert manage(tmp_path, *shell).stdout.split() == ["123456", "False", "True", "False"]
    production = manage(tmp_path, *shell, **SECURE)
    assert production.stdout.split() == ["True", "False", "True"], production.stderr


def test_seals_lie_in_a_folder_or_a_bucket_of_their_own(tmp_path):
    show = "from django.core.files.storage import storages; s = storages['seals']; "
    shell = ("shell", "--no-imports", "-c")
    folder = str(tmp_path / "elsewhere")
    local = manage(tmp_path, *shell, show + "print(s.location)", SEALS_DIR=folder)
    assert local.stdout.strip() == folder, local.stderr
    where = show + "print(s.bucket_name, s.location, s.file_overwrite)"
    for buckets, name in (
        ({"S3_BUCKET": "media"}, "media"),
        ({"S3_BUCKET": "media", "SEALS_BUCKET": "vault"}, "vault"),
    ):
        remote = manage(tmp_path, *shell, where, S3_REGION="cn-north-1", **buckets)
        assert remote.stdout.split() == [name, "seals", "False"], remote.stderr


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


def test_the_example_names_every_setting():
    read = re.findall(
        r'(?:env\.\w+|_secret|_keys)\("([A-Z0-9_]+)"', (ROOT / "config/settings.py").read_text()
    )
    named = re.findall(r"^# ([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(read) == set(named)
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DEBUG": "maybe"}, "DEBUG is 'maybe'"),
        ({"PORT": "99999"}, "PORT is 99999"),
        ({"REGISTER_BONUS": "-5"}, "REGISTER_BONUS is -5"),
        ({"TIME_ZONE": "Mars/Base"}, "TIME_ZONE is 'Mars/Base'"),
        ({"LANGUAGE_CODE": "tlh"}, "LANGUAGE_CODE is 'tlh'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD'"),
        ({"PUBLIC_FILES_URL": "cdn.example"}, "PUBLIC_FILES_URL is 'cdn.example'"),
        ({"PUBLIC_FILES_URL": "https://a.example; *"}, "PUBLIC_FILES_URL is 'https://a.ex"),
        ({"PUBLIC_FILES_URL": "https://a.example?b=c"}, "PUBLIC_FILES_URL is 'https://a.ex"),
        ({"PUBLIC_FILES_URL": "https://a:b@c.example"}, "PUBLIC_FILES_URL is 'https://a:b"),
        ({**SECURE, "PUBLIC_FILES_URL": "http://cdn.example"}, "PUBLIC_FILES_URL has no TLS"),
        ({"REDIS_URL": "somewhere"}, "REDIS_URL must be a redis:// address"),
        ({"TASK_ENGINE": "celery"}, "TASK_ENGINE is 'celery': write database or redis."),
        ({"TASK_ENGINE": "redis", "REDIS_URL": ""}, "TASK_ENGINE is redis and REDIS_URL is not"),
        ({"JOB_LEASE_SECONDS": "0"}, "JOB_LEASE_SECONDS is 0"),
        ({**SECURE, "JOB_LEASE_SECONDS": "9"}, "JOB_LEASE_SECONDS is 9"),
        ({"BACKUP_METHOD": "tape"}, "BACKUP_METHOD is 'tape': write dump or pages."),
        ({"BACKUP_SCHEDULE": "nightly"}, "BACKUP_SCHEDULE is 'nightly': write a cron line"),
        ({"BACKUP_SCHEDULE": "0 2 30 2 *"}, "BACKUP_SCHEDULE is '0 2 30 2 *': write a cron"),
        ({"BACKUP_RETENTION_DAYS": "0"}, "BACKUP_RETENTION_DAYS is 0"),
        ({"BACKUP_RETENTION_WEEKS": "-1"}, "BACKUP_RETENTION_WEEKS is -1"),
        ({"BACKUP_RETENTION_MONTHS": "999"}, "BACKUP_RETENTION_MONTHS is 999"),
        ({"PHONE_PATTERN": "("}, "PHONE_PATTERN is no regular expression"),
        ({"REQUESTS_PER_PERSON": "many"}, "REQUESTS_PER_PERSON is 'many'"),
        ({**SECURE, "SECRET_KEY": "short"}, "SECRET_KEY is too short"),
        ({**SECURE, "HASH_KEYS": f"{'h' * 60},short"}, "HASH_KEYS is too short"),
        ({**SECURE, "TOKEN_KEYS": f"{'t' * 60},"}, "TOKEN_KEYS is too short"),
        ({**SECURE, "DEBUG": "off", "SECRET_KEY": ""}, "SECRET_KEY is not set"),
    ],
)
def test_a_value_out_of_bounds_is_named(tmp_path, variables, sentence):
    finished = manage(tmp_path, **variables)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith(sentence)


SHOW_PUBLIC_FILES = """
from django.conf import settings
from config.console_policy import CONSOLE_CSP
print(settings.PUBLIC_FILES_URL, settings.SECURE_CSP["img-src"] == CONSOLE_CSP["img-src"])
print(*settings.SECURE_CSP["img-src"])
"""


@pytest.mark.parametrize(
    ("variables", "address", "sources"),
    [
        ({}, "", []),
        (
            {"PUBLIC_FILES_URL": "http://127.0.0.1:9/"},
            "http://127.0.0.1:9",
            ["http://127.0.0.1:9/"],
        ),
        (
            {**SECURE, "PUBLIC_FILES_URL": "https://cdn.example/shop/"},
            "https://cdn.example/shop",
            ["https://cdn.example/shop/"],
        ),
    ],
    ids=["none", "development", "production"],
)
def test_pages_may_show_pictures_from_where_public_files_are(tmp_path, variables, address, sources):
    shown = manage(tmp_path, "shell", "--no-imports", "-c", SHOW_PUBLIC_FILES, **variables)
    assert shown.stdout.split() == [
        *([address] if address else []),
        *("True", "'self'", "data:", "blob:"),
        *sources,
    ], shown.stderr


@pytest.mark.parametrize("name", ["SMS_SENDER", "RECEIPT_READER"])
def test_a_class_that_is_not_there_is_named(tmp_path, name):
    finished = manage(tmp_path, **{name: "nowhere.Nothing"})
    assert finished.returncode == 1
    assert f"{name} names no class" in finished.stderr


def test_a_sender_whose_sdk_is_not_there_is_named(tmp_path):
    without = tmp_path / "alibabacloud_dysmsapi20170525.py"
    without.write_text("raise ModuleNotFoundError('No module named this one')\n")
    keys = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SIGN_NAME", "TEMPLATE")
    said = {f"SMS_ALIYUN_{key}": "x" for key in keys}
    finished = manage(tmp_path, SMS_SENDER=ALIYUN, PYTHONPATH=str(tmp_path), **said)
    assert finished.returncode == 1
    assert "SMS_SENDER names no class" in finished.stderr
    assert "requirements-sms.txt" in finished.stderr


REPLACE = """
from django.db import DatabaseError, connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY)")
    cursor.execute(
        "CREATE TRIGGER kept BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'append-only'); END"
    )
    cursor.execute("INSERT INTO ledger VALUES (1)")
    try:
        cursor.execute("INSERT OR REPLACE INTO ledger VALUES (1)")
    except DatabaseError as error:
        print(error)
"""


def test_insert_or_replace_does_not_slip_past_a_ledgers_trigger(tmp_path):
    finished = manage(tmp_path, "shell", "--no-imports", "-c", REPLACE)
    assert finished.stdout.strip() == "append-only", finished.stderr


SAY = "import logging; logging.getLogger('probe').warning('of %s', '13800138001')"


def test_the_log_is_json_in_production_and_lines_in_development(tmp_path):
    said = manage(tmp_path, "shell", "--no-imports", "-c", SAY, **SECURE).stderr
    line = json.loads(said.splitlines()[-1])
    assert (line["level"], line["message"]) == ("WARNING", "of 138****8001")
    assert not (tmp_path / "data" / "logs").exists(), "only where LOG_DIR is named"

    said = manage(tmp_path, "shell", "--no-imports", "-c", SAY).stderr
    assert said.splitlines()[-1].endswith("WARNING probe [-] of 138****8001")
    (path,) = (tmp_path / "data" / "logs").iterdir()
    assert json.loads(path.read_text().splitlines()[-1])["message"] == "of 138****8001"


def test_production_has_files_of_the_log_where_they_are_named(tmp_path):
    folder = tmp_path / "elsewhere"
    manage(tmp_path, "shell", "--no-imports", "-c", SAY, **SECURE, LOG_DIR=str(folder))
    assert len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
