"""The rules that every platform begins with: each has its words, its page, and its metric."""

from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone, translation

from ops import measures
from ops.admin.alert_rules import exported_names
from ops.models import Alert, AlertRule, NoticeKind, OperationalEvent, Reading
from ops.monitoring import outage, words
from ops.monitoring.default_rules import WORDS
from ops.monitoring.evaluation import evaluate
from ops.monitoring.metrics import JOB_LATE
from ops.services import maintenance, schedules
from ops.tests.alerts import NOW, make_channel, says

pytestmark = pytest.mark.django_db

PAGES = Path(settings.BASE_DIR) / "docs" / "operations" / "alerts"


def rules():
    return AlertRule.objects.exclude(slug="")


def test_there_is_one_for_each_of_the_words():
    assert sorted(rules().values_list("slug", flat=True)) == sorted(WORDS)


def test_each_has_a_page_that_says_what_to_do():
    for slug in WORDS:
        page = (PAGES / f"{slug}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {WORDS[slug].title}") or translation.get_language() != "en"
        assert "## What to do" in page
        assert f"({slug}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


def test_each_metric_and_event_exists():
    for rule in rules():
        known = measures.event_kinds.names() if rule.reading == Reading.EVENTS else exported_names()
        assert rule.metric in known, rule.slug
        assert not rule.of_metric or rule.of_metric in known


def test_the_words_name_facts_alone_in_both_languages():
    for language in ("en", "zh-hans"):
        with translation.override(language):
            for said in WORDS.values():
                words.check_template(str(said.title))
                words.check_template(str(said.text))


def test_a_rule_is_filled_in_as_a_form_wants_it():
    for rule in rules():
        rule.full_clean()


@pytest.mark.parametrize(
    ("slug", "facts", "lasts"),
    [
        ("sms-pumping", {"codes": 100, "below_percent": 10}, timedelta(hours=2)),
        ("sms-budget-used-up", {"codes": 5000}, timedelta(hours=1)),
    ],
)
def test_what_happens_to_sign_in_codes_is_told_and_over_after_a_while(slug, facts, lasts):
    rule = AlertRule.objects.get(slug=slug)
    make_channel(takes_info=True)
    OperationalEvent.objects.create(kind=rule.metric, facts=facts, happened_at=NOW)

    evaluate(now=NOW)
    alert = Alert.objects.get(rule=rule)
    said = words.message(alert, NoticeKind.RAISED)
    assert ", ".join(f"{name}={value}" for name, value in facts.items()) in said["text"]
    assert alert.notices.count() == 1
    evaluate(now=NOW + lasts - timedelta(seconds=1))
    evaluate(now=NOW + lasts)

    alert.refresh_from_db()
    assert alert.resolved_at == NOW + lasts


@pytest.mark.parametrize(
    ("slug", "between", "told"),
    [
        # Seen once in each hour of the clock: in the first minute of one, in the last of the next.
        ("sms-pumping", timedelta(minutes=119), 1),
        ("sms-budget-used-up", timedelta(hours=19), 2),  # in the evening, and the next afternoon
    ],
)
def test_what_goes_on_is_one_alert_and_what_begins_anew_another(slug, between, told):
    rule = AlertRule.objects.get(slug=slug)
    for moment in (NOW, NOW + between):
        OperationalEvent.objects.create(kind=rule.metric, facts={}, happened_at=moment)
    evaluate(now=NOW)
    evaluate(now=NOW + between - timedelta(seconds=1))
    evaluate(now=NOW + between)

    assert Alert.objects.filter(rule=rule).count() == told
    assert Alert.objects.filter(rule=rule, resolved_at=None).count() == 1


def test_a_server_nearly_out_of_connections_is_told(db):
    rule = AlertRule.objects.get(slug="database-sessions")
    for number, share in enumerate((0.9, 0.91, 0.91, 0.9)):
        at = NOW + timedelta(minutes=number)
        says(share, at=at, metric=rule.metric, host="b")
        says(share, at=at, metric=rule.metric, host="a")
        evaluate(now=at)
        assert Alert.objects.filter(rule=rule).count() == min(number, 1)
    alert = Alert.objects.get(rule=rule)
    assert alert.series == ""  # both machines tell of one server
    assert alert.raised_at == NOW + timedelta(minutes=2)
    assert alert.resolved_at == NOW + timedelta(minutes=3)


def test_one_error_is_no_share_that_is_told():
    """However few requests there are: of so many one is not above the threshold yet."""
    rule = AlertRule.objects.get(slug="error-rate")
    assert 1 / rule.least_whole <= rule.threshold


def test_what_rests_in_maintenance_is_not_late():
    long_ago = timezone.now() - timedelta(hours=1)
    schedules.add_missing(now=long_ago)
    assert JOB_LATE.values()["expired files",] == pytest.approx(3600, abs=60)

    with maintained():
        late = JOB_LATE.values()

    assert {job for (job,), seconds in late.items() if seconds} == {
        "evaluate alert rules",
        "outside heartbeat",
    }


@contextmanager
def maintained():
    maintenance._process.notice = maintenance.Notice(is_on=True)
    try:
        yield
    finally:
        maintenance.forget()


def test_that_the_database_is_away_is_told_within_half_a_minute():
    """Two looks at one that hangs, and what the rule waits for."""
    rule = AlertRule.objects.get(slug="database-away")
    assert rule.for_seconds + 2 * (3 + outage.ANSWERS_WITHIN) < 30


def test_what_was_due_in_maintenance_has_time_to_be_done():
    assert AlertRule.objects.get(slug="job-late").for_seconds == 60
