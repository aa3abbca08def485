from contextlib import nullcontext
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import (
    User,
    UserStatus,
)
from accounts.services import sign_in
from ops import stale_forms
from ops.admin_base import EditAdmin, change_each

# Roles come as groups of their own; until then a page of single permissions helps nobody.
admin.site.unregister(Group)


class PersonForm(UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User
        fields = "__all__"
        # Django's own field for it cannot be empty, and customers have no user name.
        field_classes = {"username": forms.CharField}


class PersonCreationForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username",)
        field_classes = {"username": forms.CharField}


class PasswordForm(AdminPasswordChangeForm):
    """Refused where the password was changed while the page was open."""

    data: Any
    shown = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, user, *args, **options):
        super().__init__(user, *args, **options)
        self.initial["shown"] = stale_forms.digest(f"{user.pk} {user.password}")

    def clean(self):
        cleaned = super().clean()
        if cleaned.get("shown") != self.initial["shown"]:
            self.data = {**self.data.dict(), "shown": self.initial["shown"]}
            self.add_error(
                "password1", _("The password was changed meanwhile: saving again replaces it.")
            )
        return cleaned


@admin.register(User)
class UserAdmin(DjangoUserAdmin, EditAdmin):
    form = PersonForm
    add_form = PersonCreationForm
    change_password_form = PasswordForm
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105
    list_display = ["__str__", "masked_phone", "status", "total_points", "is_premium", "last_login"]
    list_filter = ["status", "is_premium", "is_staff"]
    search_fields = ["nickname", "phone", "username"]
    search_help_text = _("Nickname, whole phone number or user name")
    ordering = ["-id"]
    actions = ["activate", "deactivate", "ban"]
    # The status changes by the actions, which end sign-ins; points change by the ledger alone.
    readonly_fields = [
        "masked_phone",
        "status",
        "total_points",
        "lifetime_points",
        "points_version",
        "login_count",
        "last_login",
        "created_at",
        "updated_at",
    ]
    fieldsets = [
        (
            None,
            {"fields": ["nickname", "masked_phone", "status", "is_premium", "daily_upload_quota"]},
        ),
        (_("Points"), {"fields": ["total_points", "lifetime_points", "points_version"]}),
        (_("Console"), {"fields": ["username", "password", "is_staff", "is_superuser"]}),
        (_("Dates"), {"fields": ["created_at", "updated_at", "last_login", "login_count"]}),
    ]
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2"]})]
    filter_horizontal = []

    def user_change_password(self, request, *args, **options):
        with transaction.atomic() if request.method == "POST" else nullcontext():
            return super().user_change_password(request, *args, **options)

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description=_("phone"))
    def masked_phone(self, person):
        return person.masked_phone

    @admin.action(description=_("Activate"), permissions=["change"])
    def activate(self, request, people):
        self._change_status(request, people, UserStatus.ACTIVE)

    @admin.action(description=_("Deactivate: sign-ins end at once"), permissions=["change"])
    def deactivate(self, request, people):
        self._change_status(request, people, UserStatus.INACTIVE)

    @admin.action(description=_("Ban: sign-ins end at once"), permissions=["change"])
    def ban(self, request, people):
        self._change_status(request, people, UserStatus.BANNED)

    def _change_status(self, request, people, status):
        change_each(
            self,
            request,
            rows=people.exclude(pk=request.user.pk),
            change=lambda person: sign_in.change_status(person=person, status=status),
            success=lambda person: f"{person}: {status.label}",
        )
