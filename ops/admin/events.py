from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin
from ops.measures import event_kinds
from ops.models import OperationalEvent
from ops.walls import OfPlatform


class KindFilter(admin.SimpleListFilter):
    """By the kinds that there are: asking the rows would read them all."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request, page):
        return [(kind.name, kind.meaning) for kind in event_kinds.values()]

    def queryset(self, request, events):
        return events.filter(kind=self.value()) if self.value() else events


@admin.register(OperationalEvent)
class OperationalEventAdmin(ReadOnlyAdmin):
    """What commands and services did once; nobody changes anything here."""

    wall = OfPlatform()
    list_display = ["happened_at", "meaning", "told", "host"]
    list_filter = [KindFilter, "happened_at"]
    ordering = ["-happened_at", "-id"]

    @admin.display(description=_("event"))
    def meaning(self, event):
        # A kind of a version before this one is shown by its name.
        found = dict(event_kinds.items()).get(event.kind)
        return found.meaning if found else event.kind

    @admin.display(description=_("facts"))
    def told(self, event):
        return ", ".join(f"{name}: {fact}" for name, fact in event.facts.items())
