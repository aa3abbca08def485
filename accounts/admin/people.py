import re
from contextlib import nullcontext
from functools import partial
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import (
    User,
    UserStatus,
    tidy_nickname,
)
from accounts.services import (
    customers,
    merging,
    passwords,
    premium,
    second_factors,
    sign_in,
    staff,
)
from ops import security_log, stale_forms
from ops.access import OF_PLATFORM, access_of
from ops.admin_base import BookingForm, EditAdmin, book_once, change_each
from ops.errors import DomainError
from ops.identifiers import find, read_identifier
from ops.walls import Known

MERGE = "merge"  # the button that does it
PHONE = re.compile(r"1[3-9][0-9]{9}")

# Roles are a table in the code; a page of single permissions helps nobody.
admin.site.unregister(Group)


class PersonForm(UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User
        fields = "__all__"
        # Django's own field for it cannot be empty, and customers have no user name.
        field_classes = {"username": forms.CharField}

    def clean_nickname(self):
        return tidy_nickname(self.cleaned_data["nickname"])


class PersonCreationForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username",)
        field_classes = {"username": forms.CharField}


class PlatformRoleForm(BookingForm):
    """What the dialog for a role on the platform asks for."""

    role = forms.ChoiceField(
        label=_("role"),
        required=False,
        choices=[("", _("None")), *((role.value, role.label) for role in OF_PLATFORM)],
        widget=forms.RadioSelect,
    )


class DayWidget(UnfoldAdminTextInputWidget):
    """The browser's own calendar: the one of Django's admin does not wake up inside of a dialog."""

    input_type = "date"


class ReasonForm(BookingForm):
    """What the dialog that ends premium asks for."""

    reason = forms.CharField(
        label=_("reason"), max_length=premium.LONGEST_REASON, widget=UnfoldAdminTextInputWidget
    )


class SecondFactorResetForm(BookingForm):
    """What the dialog that takes away a second factor asks for."""

    reason = forms.CharField(
        label=_("reason"),
        max_length=second_factors.LONGEST_REASON,
        help_text=_("Such as: lost phone, and how you made sure that it is them who ask."),
        widget=UnfoldAdminTextInputWidget,
    )


class PremiumForm(ReasonForm):
    """What the dialog that grants premium asks for."""

    until = forms.DateField(
        label=_("until"),
        help_text=_("The last day, in the time zone of the platform."),
        input_formats=["%Y-%m-%d"],  # as browsers send it
        widget=DayWidget,
    )
    field_order = ["until", "reason"]

    def clean_until(self):
        until = self.cleaned_data["until"]
        if until < timezone.localdate():
            raise forms.ValidationError(_("This day is over."))
        return until


class MergeForm(forms.Form):
    """Which account is to become a part of another, and the reason: a page, and no dialog."""

    request_key = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)
    other = forms.CharField(
        label=_("the other account"),
        max_length=20,
        help_text=_("Its id, or its whole phone number."),
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "off", "autofocus": True, "inputmode": "numeric"}
        ),
    )
    reason = forms.CharField(
        label=_("reason"),
        max_length=merging.LONGEST_REASON,
        help_text=_("How it was seen that both accounts are one person's."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    confirmed = forms.BooleanField(
        label=_("Both accounts are one person's, who wants this. It cannot be undone.")
    )


class PremiumFilter(admin.SimpleListFilter):
    """Whose premium lasts today."""

    title = _("premium")
    parameter_name = "premium"

    def lookups(self, request, model_admin):
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request, queryset):
        if self.value() not in {"0", "1"}:
            return queryset
        premium_people = User.objects.premium().values("pk")
        is_one = Q(pk__in=premium_people)
        return queryset.filter(is_one if self.value() == "1" else ~is_one)


class PasswordForm(AdminPasswordChangeForm):
    """Refused where the password was changed while the page was open."""

    data: Any
    shown = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, user, *args, **options):
        super().__init__(user, *args, **options)
        self.fields.pop("usable_password", None)  # who shall not enter any more has no rights
        self.initial["shown"] = stale_forms.digest(f"{user.pk} {user.password}")

    def clean(self):
        cleaned = super().clean()
        if cleaned.get("shown") != self.initial["shown"]:
            self.data = {**self.data.dict(), "shown": self.initial["shown"]}
            self.add_error(
                "password1", _("The password was changed meanwhile: saving again replaces it.")
            )
        return cleaned

    def save(self, commit=True):
        passwords.set_password(person=self.user, password=self.cleaned_data["password1"])
        return self.user


@admin.register(User)
class UserAdmin(DjangoUserAdmin, EditAdmin):  # type: ignore[misc]  # get_form
    wall = Known(customers.known_at)
    form = PersonForm
    add_form = PersonCreationForm
    change_password_form = PasswordForm
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105
    list_display = ["__str__", "masked_phone", "status", "total_points", "is_premium", "last_login"]
    list_filter = ["status", PremiumFilter, "is_staff"]
    search_fields = ["nickname", "=phone", "=username"]
    search_permissions = {
        "=phone": "accounts.search_user",
        "=username": "accounts.change_user",  # half of what a sign-in to the console takes
    }
    search_help_text = _("Nickname, whole phone number or user name")
    ordering = ["-id"]
    actions = ["activate", "deactivate", "ban"]
    actions_detail = [
        "grant_premium",
        "end_premium",
        "merge_another",
        "choose_platform_role",
        "reset_second_factor",
    ]
    # The status changes by the actions, which end sign-ins; points change by the ledger alone.
    readonly_fields = [
        "masked_phone",
        "masked_email",
        "status",
        "premium_until",
        "merged_into",
        "is_staff",
        "must_change_password",
        "platform_role",
        "second_factor_since",
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
            {
                "fields": [
                    "nickname",
                    "masked_phone",
                    "masked_email",
                    "status",
                    "premium_until",
                    "daily_upload_quota",
                ]
            },
        ),
        (_("Points"), {"fields": ["total_points", "lifetime_points", "points_version"]}),
        (_("Dates"), {"fields": ["created_at", "updated_at", "last_login", "login_count"]}),
    ]
    # For those who may edit people. Shops see their customers, and nothing of the console's.
    of_console = (
        _("Console"),
        {
            "fields": [
                "username",
                "password",
                "must_change_password",
                "second_factor_since",
                "is_staff",
                "platform_role",
                "is_superuser",
            ]
        },
    )
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2"]})]
    filter_horizontal = []

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.has_change_permission(request, obj):
            return fieldsets  # a page to look at would show the whole hash of the password
        *first, dates = fieldsets
        if obj.is_merged:
            first.append((_("Merged"), {"fields": ["merged_into"]}))
        return [*first, self.of_console, dates]

    def get_readonly_fields(self, request, obj=None):
        fields = super().get_readonly_fields(request, obj)
        # What gives rights is a superuser's to change, who has them all.
        return fields if request.user.is_superuser else [*fields, "is_superuser"]

    def save_model(self, request, obj, form, change):
        if not change:
            obj.must_change_password = True  # whoever fills in the form knows it
        super().save_model(request, obj, form, change)
        staff.follow_access(obj.pk)
        if change and "is_superuser" in form.changed_data:
            role = "superuser" if obj.is_superuser else "none"
            security_log.note_change("permission_changed", person_id=obj.pk, role=role)

    @action(
        description=_("Role on the platform"),
        permissions=["privilege"],
        dialog={"title": _("Role on the platform"), "form_class": PlatformRoleForm},
    )
    def choose_platform_role(self, request, form, object_id):
        def book():
            staff.choose_platform_role(
                person_id=self.pk_in_address(object_id),
                role=form.cleaned_data["role"] or None,
                author_id=request.user.pk,
            )

        return book_once(
            self,
            request,
            form,
            book=book,
            success=lambda: _("The role was changed."),
            back_to=reverse("admin:accounts_user_change", args=[object_id]),
        )

    @action(
        description=_("Reset second factor"),
        permissions=["factor"],
        dialog={
            "title": _("Reset second factor"),
            "description": _("For a lost phone. All their sign-ins to the console end."),
            "form_class": SecondFactorResetForm,
        },
    )
    def reset_second_factor(self, request, form, object_id):
        def book():
            second_factors.reset(
                person_id=self.pk_in_address(object_id),
                reason=form.cleaned_data["reason"],
                author_id=request.user.pk,
            )

        return book_once(
            self,
            request,
            form,
            book=book,
            success=lambda: _("The second factor is reset."),
            back_to=reverse("admin:accounts_user_change", args=[object_id]),
        )

    @action(
        description=_("Grant premium"),
        permissions=["premium"],
        dialog={"title": _("Grant premium"), "form_class": PremiumForm},
    )
    def grant_premium(self, request, form, object_id):
        day = date_format(form.cleaned_data["until"])
        done = _("Premium lasts until %(day)s.") % {"day": day}
        change = partial(premium.grant, until=form.cleaned_data["until"])
        return self._book_premium(request, form, object_id, change=change, done=done)

    @action(
        description=_("End premium"),
        permissions=["premium"],
        dialog={"title": _("End premium"), "form_class": ReasonForm},
    )
    def end_premium(self, request, form, object_id):
        done = _("Premium has ended.")
        return self._book_premium(request, form, object_id, change=premium.end, done=done)

    def _book_premium(self, request, form, object_id, *, change, done):
        def book():
            change(
                person_id=self.pk_in_address(object_id),
                reason=form.cleaned_data["reason"],
                author_id=request.user.pk,
            )

        return book_once(
            self,
            request,
            form,
            book=book,
            success=lambda: done,
            back_to=reverse("admin:accounts_user_change", args=[object_id]),
        )

    # Who guards a merge by a fresh factor, guards this view: nothing else of the console merges.
    @action(
        description=_("Merge accounts"),
        url_path="merge",
        permissions=["merge"],
    )
    @method_decorator(sensitive_post_parameters("other"))
    def merge_another(self, request, object_id):
        """Look at two accounts beside each other, then merge them: each by a POST.

        The other one may be named by its phone, which is written nowhere.
        """
        survivor = self.get_object(request, unquote(object_id))
        if survivor is None:
            raise Http404
        form = MergeForm(request.POST if MERGE in request.POST else None)
        told = None
        if request.method == "POST" and (other_id := self._other_account(request)):
            ids = {"survivor_id": survivor.pk, "merged_id": other_id, "author_id": request.user.pk}
            if form.is_valid():
                return self._book_merge(request, form, ids)
            told = self._preview(request, ids)
        return self._merge_page(request, survivor, form=form, told=told)

    def _other_account(self, request):
        """The id of the account that is named; None for none, which is told."""
        named = request.POST.get("other", "").strip()
        found = None
        if PHONE.fullmatch(named):
            if access_of(request.user).may_everywhere("accounts.search_user"):
                found = User.objects.filter(phone=named).first()
        else:
            found = find(User.objects.all(), read_identifier(named))
        if found is None:
            self.message_user(request, _("There is no such account."), messages.ERROR)
            return None
        return found.pk

    def _preview(self, request, ids):
        try:
            return merging.preview(**ids)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return None

    def _book_merge(self, request, form, ids):
        return book_once(
            self,
            request,
            form,
            book=lambda: merging.merge(**ids, reason=form.cleaned_data["reason"]),
            success=lambda: (
                _("Account #%(id)s is a part of this one now.") % {"id": ids["merged_id"]}
            ),
            back_to=reverse("admin:accounts_user_change", args=[ids["survivor_id"]]),
        )

    def _merge_page(self, request, survivor, *, form, told):
        context = {
            **self.admin_site.each_context(request),
            "title": _("Merge another account into this one"),
            "opts": self.opts,
            "survivor": survivor,
            "form": form,
            "told": told,
            "merge": MERGE,
        }
        return TemplateResponse(request, "admin/accounts/user/merge.html", context)

    def has_merge_permission(self, request, person=None):
        # A right at a shop is none: the points of both accounts are the platform's.
        may = access_of(request.user).may_everywhere(merging.PERMISSION)
        return may and self.may(request, "merge", person)

    def has_premium_permission(self, request, person=None):
        return self.may(request, "premium", person)

    def has_factor_permission(self, request, person=None):
        return self.may(request, "factor", person)

    def has_privilege_permission(self, request, person=None):
        return request.user.is_superuser and self.may(request, "view", person)

    def user_change_password(self, request, id, form_url=""):  # noqa: A002  Django's name
        person = self.get_object(request, unquote(id))
        if person is not None:
            is_own = person.pk == request.user.pk
            if is_own or not self.has_password_permission(request, person):
                # One's own is changed by those who know the old one, on a page of its own.
                raise PermissionDenied
        with transaction.atomic() if request.method == "POST" else nullcontext():
            return super().user_change_password(request, id, form_url)

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and self._may_act_on(request, obj)

    def has_password_permission(self, request, person=None):
        return self.may(request, "password", person) and self._may_act_on(request, person)

    def has_close_permission(self, request, person=None):
        return self.may(request, "close", person)

    def _may_act_on(self, request, person):
        return person is None or staff.may_act_on(author=request.user, person=person)

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description=_("role on the platform"))
    def platform_role(self, person):
        role = staff.platform_role(person)
        return role.label if role else None

    @admin.display(description=_("second factor since"))
    def second_factor_since(self, person):
        factor = second_factors.factor_of(person)
        return factor and factor.created_at

    @admin.display(description=_("phone"))
    def masked_phone(self, person):
        return person.masked_phone

    @admin.display(description=_("e-mail"))
    def masked_email(self, person):
        return person.masked_email

    @admin.display(description=_("premium"), boolean=True)
    def is_premium(self, person):
        return person.is_premium

    @admin.action(description=_("Activate"), permissions=["close"])
    def activate(self, request, people):
        self._change_status(request, people, UserStatus.ACTIVE)

    @admin.action(description=_("Deactivate: sign-ins end at once"), permissions=["close"])
    def deactivate(self, request, people):
        self._change_status(request, people, UserStatus.INACTIVE)

    @admin.action(description=_("Ban: sign-ins end at once"), permissions=["close"])
    def ban(self, request, people):
        self._change_status(request, people, UserStatus.BANNED)

    def _change_status(self, request, people, status):
        def change(person):
            staff.check_may_act_on(author=request.user, person=person)
            told = sign_in.change_status(person=person, status=status, author_id=request.user.pk)
            for text in told:
                self.message_user(request, text, messages.WARNING)

        change_each(
            self,
            request,
            rows=people.exclude(pk=request.user.pk),
            change=change,
            success=lambda person: f"{person}: {status.label}",
        )
