from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from lottery.models import Draw, PityCounter, Prize, SeedPair, Wheel, WheelStatus, WheelVersion
from lottery.services import publishing, wheels
from ops.admin_base import ReadOnlyAdmin, change_each


class PrizeInline(TabularInline):
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
class WheelAdmin(ModelAdmin):
    """The draft of a wheel. What is published changes by the action alone."""

    inlines = [PrizeInline]
    list_display = ["name", "shop", "status", "is_default", "cost_points", "opens_at", "closes_at"]
    list_filter = ["status", "shop"]
    list_select_related = ["shop"]
    search_fields = ["name"]
    readonly_fields = ["status", "is_default", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "shop", "organiser", "status", "is_default"]}),
        (_("When it is open"), {"fields": ["opens_at", "closes_at"]}),
        (
            _("Rules: they take effect when they are published"),
            {"fields": ["cost_points", "daily_limit", "pity_threshold", "fallback_prize"]},
        ),
    ]
    actions = ["publish", "make_default", "activate", "pause", "deactivate"]

    def has_delete_permission(self, request, obj=None):
        return False

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        if db_field.name == "fallback_prize":
            # The prizes of this wheel; a new wheel has none to choose from yet.
            wheel_id = request.resolver_match.kwargs.get("object_id")
            kwargs["queryset"] = Prize.objects.filter(wheel=wheel_id)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.action(description=_("Publish"), permissions=["change"])
    def publish(self, request, queryset):
        self._change(
            request,
            queryset,
            lambda wheel: publishing.publish(wheel_id=wheel.pk, author_id=request.user.pk),
        )

    @admin.action(description=_("Make it the default wheel"), permissions=["change"])
    def make_default(self, request, queryset):
        self._change(request, queryset, lambda wheel: wheels.make_default(wheel_id=wheel.pk))

    @admin.action(description=_("Activate"), permissions=["change"])
    def activate(self, request, queryset):
        self._change_status(request, queryset, WheelStatus.ACTIVE)

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request, queryset):
        self._change_status(request, queryset, WheelStatus.PAUSED)

    @admin.action(description=_("Deactivate"), permissions=["change"])
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

        change_each(self, request, queryset, change, success=told)


@admin.register(Prize)
class PrizeAdmin(ReadOnlyAdmin):
    """To look prizes up; they are edited on their wheel."""

    list_display = [
        "name",
        "wheel",
        "type",
        "value",
        "probability",
        "product",
        "published_quantity",
        "given",
    ]
    list_filter = ["wheel", "type"]
    list_select_related = ["wheel", "product"]
    search_fields = ["name"]


@admin.register(WheelVersion)
class WheelVersionAdmin(ReadOnlyAdmin):
    list_display = ["wheel", "number", "cost_points", "daily_limit", "published_at", "published_by"]
    list_filter = ["wheel", "published_at"]
    list_select_related = ["wheel", "published_by"]
    ordering = ["-id"]
    fields = [
        "wheel",
        "number",
        "name",
        "organiser",
        "cost_points",
        "daily_limit",
        "pity_threshold",
        "published_at",
        "published_by",
        "odds",
    ]

    @admin.display(description=_("prizes"))
    def odds(self, version):
        """The odds sheet, a line for each prize."""
        fallback = _("fallback prize")
        lines = (
            (
                f"{prize.angle}°",
                f"{prize.probability:.2%}",
                prize.name,
                fallback if prize.prize_id == version.fallback_prize_id else "",
            )
            for prize in wheels.sheet_of(version).prizes
        )
        return format_html_join("", "<div>{} · {} · {} {}</div>", lines)


@admin.register(Draw)
class DrawAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "created_at",
        "person",
        "version",
        "nonce",
        "ticket",
        "prize_id",
        "is_pity",
        "cost_points",
        "value_given",
    ]
    list_filter = ["is_pity", "created_at"]
    list_select_related = ["person", "version"]
    search_fields = ["=id", "person__phone", "person__nickname"]
    ordering = ["-id"]


@admin.register(SeedPair)
class SeedPairAdmin(ReadOnlyAdmin):
    # Never the server seed, not even encrypted; a revealed one stands in the proofs.
    fields = [
        "person",
        "server_seed_hash",
        "client_seed",
        "next_nonce",
        "state",
        "created_at",
        "activated_at",
        "revealed_at",
    ]
    list_display = ["person", "server_seed_hash", "next_nonce", "state", "activated_at"]
    list_filter = ["state"]
    list_select_related = ["person"]
    search_fields = ["server_seed_hash", "person__phone", "person__nickname"]
    ordering = ["-id"]


@admin.register(PityCounter)
class PityCounterAdmin(ReadOnlyAdmin):
    list_display = ["person", "wheel", "current"]
    list_filter = ["wheel"]
    list_select_related = ["person", "wheel"]
    search_fields = ["person__phone", "person__nickname"]
    ordering = ["-id"]
