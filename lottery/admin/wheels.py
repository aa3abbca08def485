from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from lottery.models import Prize, Wheel, WheelStatus
from lottery.services import publishing, wheels
from ops.admin_base import EditAdmin, EditInline, change_each
from ops.walls import OfShop


class PrizeInline(EditInline):
    model = Prize
    extra = 0
    max_num = 8
    fields = [
        "angle",
        "name",
        "type",
        "value",
        "probability",
        "color",
        "is_activity",
        "is_pity_prize",
        "product",
        "quantity",
        "daily_cap",
        "given",
        "special_effect",
    ]
    readonly_fields = ["given"]
    autocomplete_fields = ["product"]
    ordering = ["angle"]


@admin.register(Wheel)
class WheelAdmin(EditAdmin):
    """The draft of a wheel. What is published changes by the action alone."""

    wall = OfShop("shop")
    inlines = [PrizeInline]
    list_display = ["name", "shop", "status", "is_default", "cost_points", "opens_at", "closes_at"]
    list_filter = ["status", "shop"]
    list_select_related = ["shop"]
    search_fields = ["name"]
    readonly_fields = ["status", "is_default", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["name", "shop", "organiser", "status", "is_default"]}),
        (_("When it is open"), {"fields": ["opens_at", "closes_at"]}),
        (
            _("Rules: they take effect when they are published"),
            {"fields": ["cost_points", "daily_limit", "pity_threshold", "fallback_prize"]},
        ),
        (_("Dates"), {"fields": ["created_at", "updated_at"]}),
    ]
    actions = ["publish", "make_default", "activate", "pause", "deactivate"]

    def has_delete_permission(self, request, obj=None):
        return False

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        if db_field.name == "fallback_prize":
            # The prizes of this wheel; a new wheel has none to choose from yet.
            address = request.resolver_match.kwargs.get("object_id", "")
            kwargs["queryset"] = Prize.objects.filter(wheel=self.pk_in_address(address))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_publish_permission(self, request, wheel=None):
        return self.may(request, "publish", wheel)

    def has_default_permission(self, request, wheel=None):
        return self.may(request, "default", wheel)

    @admin.action(description=_("Publish"), permissions=["publish"])
    def publish(self, request, queryset):
        self._change(
            request,
            queryset,
            lambda wheel: publishing.publish(wheel_id=wheel.pk, author_id=request.user.pk),
        )

    @admin.action(description=_("Make it the default wheel"), permissions=["default"])
    def make_default(self, request, queryset):
        self._change(request, queryset, lambda wheel: wheels.make_default(wheel_id=wheel.pk))

    @admin.action(description=_("Activate"), permissions=["publish"])
    def activate(self, request, queryset):
        self._change_status(request, queryset, WheelStatus.ACTIVE)

    @admin.action(description=_("Pause"), permissions=["publish"])
    def pause(self, request, queryset):
        self._change_status(request, queryset, WheelStatus.PAUSED)

    @admin.action(description=_("Deactivate"), permissions=["publish"])
    def deactivate(self, request, queryset):
        self._change_status(request, queryset, WheelStatus.INACTIVE)

    def _change_status(self, request, queryset, status):
        self._change(
            request,
            queryset,
            lambda wheel: wheels.change_status(wheel_id=wheel.pk, status=status),
        )

    def _change(self, request, queryset, change):
        def told(wheel):
            return _("%(name)s: done.") % {"name": wheel}

        change_each(self, request, rows=queryset, change=change, success=told)
