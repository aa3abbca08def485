"""What a backup knows of the configuration: enough to set it up again, and no secret."""

import json
import re

import pytest
from django.conf import settings as django_settings

from ops.backups import configuration

EXAMPLE = (django_settings.BASE_DIR / ".env.example").read_text(encoding="utf-8")
NAMES = re.findall(r"^# ([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)
SETTINGS = (django_settings.BASE_DIR / "config" / "settings.py").read_text(encoding="utf-8")
READ_AS_SECRETS = re.findall(
    r'(?:env\.(?:confidential|secret|address|sentry|database)|_secret|_keys|_given)\(\s*"([A-Z0-9_]+)"',
    SETTINGS,
)


def test_no_secret_of_any_setting_is_kept():
    """Each setting holds a secret of its own, as what is read as a secret does; none is kept."""
    planted = {name: f"planted-{name}" for name in NAMES if name not in configuration.HARMLESS}
    files = {f"{name}_FILE": f"planted-{name}-file" for name in NAMES}
    unknown = {"NEW_PROVIDER": "planted-unknown", "PATH": "planted-path"}
    kept = configuration.written({**planted, **files, **unknown})
    assert b"planted" not in kept
    assert json.loads(kept)["settings"] == {}


@pytest.mark.parametrize(
    "confiding",
    [
        "https://user:planted@s3.example.com",
        "https://s3.example.com/?key=planted",
        "a,x://planted@b",
    ],
)
def test_a_harmless_setting_that_confides_is_not_kept(confiding):
    kept = configuration.written(dict.fromkeys(NAMES, confiding))
    assert b"planted" not in kept


def test_what_is_read_as_a_secret_counts_as_one():
    """But for an address that has no password, as a rule: one with a password is left out."""
    assert len(READ_AS_SECRETS) > 10
    assert set(READ_AS_SECRETS) & configuration.HARMLESS == {"S3_ENDPOINT_URL"}


def test_every_other_setting_is_kept():
    assert set(NAMES) > configuration.HARMLESS
    said = {name: f"value of {name}" for name in NAMES}
    assert json.loads(configuration.written(said))["settings"] == {
        name: f"value of {name}" for name in configuration.HARMLESS
    }
    left_out = set(NAMES) - configuration.HARMLESS
    assert left_out == {*READ_AS_SECRETS, "SMS_FIXED_CODE"} - {"S3_ENDPOINT_URL"}


def test_versions_are_kept(settings):
    settings.VERSION = "v1.2"
    kept = json.loads(configuration.written({}))
    assert kept["code"] == "v1.2"
    assert re.fullmatch(r"3\.\d+\.\d+.*", kept["python"])
    assert kept["packages"]["Django"] >= "6"
