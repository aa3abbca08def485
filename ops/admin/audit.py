from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ops import admin_trail
from ops.access import access_of
from ops.admin_base import ReadOnlyAdmin
from ops.models import AuditEntry
from ops.walls import OfShop


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

    wall = OfShop("shop_id")
    list_display = ["created_at", "who", "verb", "what", "shop_id", "reason"]
    list_filter = [KindFilter, "created_at"]
    search_fields = ["=object_id", "=request_id", "=action"]
    search_help_text = _("Id of the object, request id or action, each in full")
    ordering = ["-id"]
    fieldsets = [
        (None, {"fields": ["created_at", "who", "verb", "what", "shop_id", "reason"]}),
        (_("What changed"), {"fields": ["table"]}),
        (_("From where"), {"fields": ["address", "request_id"]}),
        (_("Chain"), {"fields": ["sequence", "previous_hash", "entry_hash"]}),
    ]

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if access_of(request.user).shops(self.permission("view")) is None:
            return fieldsets
        # Where staff and colleagues were is nobody's business at a shop.
        return [one for one in fieldsets if "address" not in one[1]["fields"]]

    def get_changelist_instance(self, request):
        shown = super().get_changelist_instance(request)
        admin_trail.name_people(shown.result_list)
        return shown

    def get_object(self, request, object_id, from_field=None):
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            admin_trail.name_people([entry])
        return entry

    @admin.display(description=_("who"))
    def who(self, entry):
        return admin_trail.who(entry)

    @admin.display(description=_("action"))
    def verb(self, entry):
        return admin_trail.verb(entry)

    @admin.display(description=_("object"))
    def what(self, entry):
        return admin_trail.object_of(entry)

    @admin.display(description=_("before → after"))
    def table(self, entry):
        return admin_trail.lines_of(entry)
