import json

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin
from ops.models import AuditEntry


class KindFilter(admin.SimpleListFilter):
    """By the kind of the object, of all kinds there are: asking the entries would read them all."""

    title = _("kind of object")
    parameter_name = "object_type"

    def lookups(self, request, page):
        kinds = (model._meta for model in page.admin_site._registry)
        return sorted(
            ((kind.label_lower, kind.verbose_name) for kind in kinds),
            key=lambda named: str(named[1]),
        )

    def queryset(self, request, entries):
        return entries.filter(object_type=self.value()) if self.value() else entries


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who changed what; nobody changes anything here."""

    list_display = ["created_at", "who", "action", "what", "shop_id", "reason"]
    list_filter = [KindFilter, "created_at"]
    list_select_related = ["actor"]
    search_fields = ["=object_id", "=request_id", "=action"]
    search_help_text = _("Id of the object, request id or action, each in full")
    ordering = ["-id"]
    fieldsets = [
        (None, {"fields": ["created_at", "who", "action", "what", "shop_id", "reason"]}),
        (_("What changed"), {"fields": ["table"]}),
        (_("From where"), {"fields": ["address", "request_id"]}),
        (_("Chain"), {"fields": ["sequence", "previous_hash", "entry_hash"]}),
    ]

    def get_changelist_instance(self, request):
        """Bring along who the people of the page are: a person is a bare id in an entry."""
        shown = super().get_changelist_instance(request)
        people = _people(entry.actor.person_id for entry in shown.result_list)
        for entry in shown.result_list:
            entry.person = people.get(entry.actor.person_id)
        return shown

    def get_object(self, request, object_id, from_field=None):
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            entry.person = _people([entry.actor.person_id]).get(entry.actor.person_id)
        return entry

    @admin.display(description=_("who"))
    def who(self, entry):
        return f"{entry.actor} {entry.person}" if entry.person else str(entry.actor)

    @admin.display(description=_("object"))
    def what(self, entry):
        return entry.object_name

    @admin.display(description=_("before → after"))
    def table(self, entry):
        """A line for each column that changed."""
        lines = format_html_join(
            "",
            '<tr><th scope="row" class="pr-4 text-left">{}</th><td class="pr-4">{}</td>'
            '<td class="pr-4">→</td><td>{}</td></tr>',
            (
                (column, _readable(before), _readable(after))
                for column, before, after in entry.changes
            ),
        )
        return format_html("<table>{}</table>", lines) if lines else "-"


def _people(person_ids):
    return get_user_model()._base_manager.in_bulk({pk for pk in person_ids if pk is not None})


def _readable(value):
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
