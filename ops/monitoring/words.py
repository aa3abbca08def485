"""What an alert says: the words of the platform's own rules, and templates that people wrote."""

import string
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ops.models import Alert, AlertRule, NoticeKind, OperationalEvent, Reading
from ops.monitoring.default_rules import PLAIN_WORDS, WORDS

# What a template may name, and nothing of it: no attribute, no index, no conversion.
FACTS = {
    "rule": gettext_lazy("the rule's name"),
    "value": gettext_lazy("what was read"),
    "threshold": gettext_lazy("the threshold"),
    "series": gettext_lazy("labels and machine"),
    "since": gettext_lazy("since when"),
    "severity": gettext_lazy("the severity"),
    "details": gettext_lazy("of a rule on events: what the newest says"),
}


class BadTemplate(ValueError):
    """A template that cannot be filled in; its text says why."""


def check_template(template: str) -> None:
    """Raise BadTemplate when a template names what is no fact, or is no template."""
    try:
        fields = [
            (name, spec, conversion)
            for _text, name, spec, conversion in string.Formatter().parse(template)
            if name is not None
        ]
    except ValueError as error:
        raise BadTemplate(
            _("A brace is open or left over: write {{ and }} for braces themselves.")
        ) from error
    for name, spec, conversion in fields:
        if name not in FACTS or spec or conversion:
            raise BadTemplate(
                _("{%(name)s} is no fact of an alert. There are: %(facts)s.")
                % {"name": name, "facts": ", ".join(f"{{{fact}}}" for fact in FACTS)}
            )


def message(alert: Alert, kind: str) -> dict[str, Any]:
    """All that a channel is told of an alert, in the deployment's language.

    A dict of JSON: id, kind, rule, severity, title, text, value, threshold, series, since, link,
    and is_unread: it ended since nothing is read any more, which is no good news.
    """
    with translation.override(settings.LANGUAGE_CODE):
        return _message(alert, kind)


def _message(alert: Alert, kind: str) -> dict[str, Any]:
    rule = alert.rule
    facts = {
        "rule": rule.name,
        "value": _number(alert.value),
        "threshold": _number(rule.threshold),
        "series": alert.series or "–",
        "since": _moment(alert.since),
        "severity": str(rule.get_severity_display()),
        "details": _newest_event(rule),
    }
    title, text = (template.format_map(facts) for template in templates_of(rule))
    unread_since = alert.unread_since if kind == NoticeKind.RESOLVED else None
    if unread_since is not None:
        title = _("Not read any more: %(title)s") % {"title": title}
        text = _("Nothing is read of {series} since {unread_since}, so the alert ends.").format(
            series=facts["series"], unread_since=_moment(unread_since)
        )
    elif kind == NoticeKind.RESOLVED:
        title = _("Over: %(title)s") % {"title": title}
    elif kind == NoticeKind.REPEATED:
        title = _("Still: %(title)s") % {"title": title}
    return {
        "id": alert.pk,
        "kind": kind,
        "rule": rule.slug or rule.name,
        "severity": rule.severity,
        "title": title,
        "text": text,
        "value": alert.value,
        "threshold": rule.threshold,
        "series": alert.series,
        "since": alert.since.isoformat(),
        "link": link_to(alert),
        "is_unread": unread_since is not None,
    }


def templates_of(rule: AlertRule) -> tuple[str, str]:
    """Title and text of a rule: what people wrote, else the platform's words."""
    words = WORDS.get(rule.slug, PLAIN_WORDS)
    return rule.title or str(words.title), rule.text or str(words.text)


def link_to(alert: Alert) -> str:
    """The console's page of an alert, where PUBLIC_URL says how it is reached; else empty.

    That of an alert that is not stored, since the database is away, is the console's first.
    """
    if not settings.PUBLIC_URL:
        return ""
    page = f"ops/alert/{alert.pk}/change/" if alert.pk else ""
    return f"{settings.PUBLIC_URL}/admin/{page}"


def _newest_event(rule: AlertRule) -> str:
    """What the newest event says that a rule counts; a dash where it counts none."""
    if rule.reading != Reading.EVENTS:
        return "–"
    event = (
        OperationalEvent.objects.filter(kind=rule.metric).order_by("-happened_at", "-pk").first()
    )
    return ", ".join(f"{name}={value}" for name, value in event.facts.items()) if event else "–"


def _moment(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


def _number(value: float) -> str:
    """A number without digits that say nothing."""
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def message_of_a_test() -> dict[str, Any]:
    """What a channel is told to see whether it works."""
    with translation.override(settings.LANGUAGE_CODE):
        return {
            "id": 0,
            "kind": NoticeKind.TEST,
            "rule": "test",
            "severity": "info",
            "title": _("Test of the alerts"),
            "text": _("Whoever reads this is told of alerts."),
            "value": 0.0,
            "threshold": 0.0,
            "series": "",
            "link": settings.PUBLIC_URL,
        }
