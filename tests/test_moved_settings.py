"""Which rules are live settings, and which stay in the environment: .env.example says it."""

import re
from pathlib import Path

import pytest
from django.conf import settings as configured

from ops.setting_kinds import declared

ROOT = Path(__file__).parent.parent
OF_THE_ENVIRONMENT = {setting.environment for setting in declared.values() if setting.environment}
# Each is read from the environment as its first default; most were read from there alone before.
MOVED = {
    "ADJUSTMENT_SECOND_PERSON_ABOVE",
    "ORDER_LIFETIME_DAYS",
    "POINTS_PER_YUAN",
    "READING_LEASE_SECONDS",
    "READING_QUEUED_TOO_LONG_SECONDS",
    "REGISTER_BONUS",
    "REQUESTS_PER_PERSON",
    "REQUIRE_IDEMPOTENCY_KEY",
    "SMS_CODES_AN_HOUR_PER_ADDRESS",
    "SMS_CODES_AN_HOUR_PER_PREFIX",
    "SMS_CODES_A_DAY",
    "SMS_CODES_A_DAY_IN_ALL",
    "SMS_PUMPING_CODES",
    "SMS_PUMPING_MINUTES",
    "SMS_PUMPING_PERCENT",
    "SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS",
    "LOW_STOCK",
    "UPLOADS_A_DAY",
    "UPLOADS_A_DAY_PREMIUM",
    "UPLOADS_PER_PERSON",
}


def test_every_rule_that_moved_is_declared_once():
    names = [setting.environment for setting in declared.values() if setting.environment]
    assert sorted(names) == sorted(MOVED)


def test_env_example_marks_the_first_defaults_and_no_others():
    text = (ROOT / ".env.example").read_text()
    marked = set(re.findall(r"^# ([A-Z0-9_]+)=\S*\s+\(live\)", text, re.MULTILINE))
    assert marked == OF_THE_ENVIRONMENT


@pytest.mark.parametrize("setting", declared.values(), ids=declared.names())
def test_every_default_is_accepted_and_every_setting_says_what_it_is(setting):
    setting.check(setting.default_value)
    assert str(setting.group)
    assert str(setting.label)
    assert str(setting.description)


def test_nothing_reads_the_environments_value_past_the_live_one():
    """Of what moved, the declarations alone read Django's setting."""
    names = {name.removesuffix("_DAYS").removesuffix("_SECONDS") for name in MOVED}
    assert all(hasattr(configured, name) for name in names)
    reading = re.compile(rf"settings\.({'|'.join(sorted(names))})\b")
    files = [
        path
        for path in ROOT.glob("*/**/*.py")
        if path.relative_to(ROOT).parts[0]
        in {"accounts", "catalog", "config", "favorites", "lottery", "ops", "reviews"}
        and "tests" not in path.parts
    ]
    found = {
        str(path.relative_to(ROOT)) for path in files if reading.search(path.read_text("utf-8"))
    }
    assert found == {f"{app}/live_settings.py" for app in ("accounts", "catalog", "ops", "reviews")}
