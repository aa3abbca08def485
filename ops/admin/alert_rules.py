from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from ops import measures
from ops.admin_base import EditAdmin
from ops.models import AlertRule, Reading
from ops.monitoring import words
from ops.services.metrics import UNREAD
from ops.walls import OfPlatform

_WORDS = _(
    "Empty: the platform's own words. These are filled in: {rule}, {value}, {threshold}, {series}, "
    "{since}, {severity}, {details}."
)


class RuleForm(forms.ModelForm):
    class Meta:
        model = AlertRule
        fields = [
            "name",
            "metric",
            "labels",
            "reading",
            "of_metric",
            "least_whole",
            "window_seconds",
            "spread",
            "comparison",
            "threshold",
            "for_seconds",
            "severity",
            "repeat_seconds",
            "quiet_from",
            "quiet_until",
            "silenced_until",
            "channels",
            "is_enabled",
            "title",
            "text",
        ]
        widgets = {
            "labels": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
            # Two lists side by side would be wider than the page, and there are few channels.
            "channels": UnfoldAdminCheckboxSelectMultipleWidget,
        }

    def clean_labels(self):
        labels = self.cleaned_data["labels"] or {}
        if not isinstance(labels, dict) or not all(
            isinstance(value, str | int | bool) for value in labels.values()
        ):
            raise forms.ValidationError(_('Write labels such as {"queue": "default"}.'))
        return labels

    def clean_title(self):
        return self._checked("title")

    def clean_text(self):
        return self._checked("text")

    def _checked(self, name):
        try:
            words.check_template(self.cleaned_data[name])
        except words.BadTemplate as error:
            raise forms.ValidationError(str(error)) from error
        return self.cleaned_data[name]

    def clean(self):
        cleaned = super().clean() or self.cleaned_data
        is_of_events = cleaned.get("reading") == Reading.EVENTS
        known = measures.event_kinds.names() if is_of_events else exported_names()
        for name in ("metric", "of_metric"):
            said = cleaned.get(name)
            # A metric of an earlier version may go on standing there.
            if said and said not in known and name in self.changed_data:
                self.add_error(
                    name,
                    _("There is none of this name. /metrics names what there is.")
                    if not is_of_events
                    else _("There is no such kind of event: %(known)s.")
                    % {"known": ", ".join(sorted(known))},
                )
        return cleaned


def exported_names():
    """The names of all series that /metrics may have."""
    names = measures.measures.names()
    parts = (f"{name}_{part}" for name in names for part in ("sum", "count"))
    return [*names, *parts, UNREAD]


@admin.register(AlertRule)
class AlertRuleAdmin(EditAdmin):
    wall = OfPlatform()
    form = RuleForm
    list_display = [
        "name",
        "metric",
        "comparison",
        "threshold",
        "severity",
        "silenced_until",
        "is_enabled",
    ]
    list_filter = ["severity", "is_enabled"]
    search_fields = ["name", "metric"]
    readonly_fields = ["updated_at"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "is_enabled", "severity"],
            },
        ),
        (
            _("What is read"),
            {
                "fields": [
                    "metric",
                    "labels",
                    "reading",
                    "of_metric",
                    "least_whole",
                    "window_seconds",
                    "spread",
                ]
            },
        ),
        (_("When it is raised"), {"fields": ["comparison", "threshold", "for_seconds"]}),
        (
            _("Who is told, and when"),
            {
                "fields": [
                    "channels",
                    "repeat_seconds",
                    "quiet_from",
                    "quiet_until",
                    "silenced_until",
                ]
            },
        ),
        (_("In which words"), {"fields": ["title", "text"], "description": _WORDS}),
        (None, {"fields": ["updated_at"]}),
    ]

    class Media:
        css = {"all": ["console/alert_rule.css"]}
