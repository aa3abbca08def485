from django import forms
from django.contrib import admin, messages
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordToggleWidget

from ops.admin_base import EditAdmin, ReadOnlyAdmin
from ops.models import AlertChannel, AlertNotice
from ops.monitoring import channels, delivery
from ops.walls import OfPlatform


class ChannelForm(forms.ModelForm):
    """Takes an address and never shows it again."""

    stands_for = {"new_address": "address_encrypted"}

    new_address = forms.CharField(
        label=_("address"),
        required=False,
        max_length=1000,
        widget=UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": "off"}),
        help_text=_("It holds a secret and is not shown again. Empty: it stays as it is."),
    )

    class Meta:
        model = AlertChannel
        fields = [
            "name",
            "kind",
            "new_address",
            "takes_info",
            "takes_warning",
            "takes_critical",
            "is_enabled",
        ]

    def clean(self):
        cleaned = super().clean() or self.cleaned_data
        address, kind = (cleaned.get("new_address") or "").strip(), cleaned.get("kind")
        is_of_another_kind = "kind" in self.changed_data and self.instance.pk is not None
        if kind and not address and (self.instance.pk is None or is_of_another_kind):
            self.add_error(
                "new_address",
                _("Such an address looks like %(example)s.") % {"example": channels.EXAMPLES[kind]},
            )
        if kind and address:
            try:
                channels.check(kind, address)
            except channels.BadAddress as error:
                self.add_error("new_address", str(error))
        return cleaned

    def save(self, commit=True):
        if address := self.cleaned_data["new_address"].strip():
            for column, value in channels.sealed(address).items():
                setattr(self.instance, column, value)
        return super().save(commit)


@admin.register(AlertChannel)
class AlertChannelAdmin(EditAdmin):
    wall = OfPlatform()
    form = ChannelForm
    readonly_fields = ["shown_address", "updated_at"]
    list_display = ["name", "kind", "shown_address", "takes_info", "takes_warning", "is_enabled"]
    list_filter = ["kind", "is_enabled"]
    search_fields = ["name"]
    actions = ["send_a_test"]

    def get_fields(self, request, obj=None):
        name, kind, *rest = ChannelForm.Meta.fields
        if obj is None:
            return [name, kind, *rest]
        return [name, kind, "shown_address", *rest, "updated_at"]

    def has_test_permission(self, request, obj=None):
        return self.may(request, "test", obj)

    @admin.action(description=_("Send a test message"), permissions=["test"])
    def send_a_test(self, request, queryset):
        for channel in queryset:
            delivery.leave_test(channel)
        told = _("A test is on its way. Under alert notices you see whether it arrived.")
        self.message_user(request, told, messages.SUCCESS)


@admin.register(AlertNotice)
class AlertNoticeAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = [
        "created_at",
        "kind",
        "alert",
        "channel",
        "attempts",
        "next_try_at",
        "delivered_at",
        "error",
    ]
    list_filter = ["channel", "kind"]
    list_select_related = ["alert__rule", "channel"]
    ordering = ["-id"]
