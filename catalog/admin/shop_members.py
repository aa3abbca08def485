from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from catalog.models import ShopMember, ShopRole
from catalog.services import members
from ops.admin_base import EditAdmin
from ops.errors import TooManyRequests
from ops.walls import OfShop


class MemberForm(forms.ModelForm):
    class Meta:
        model = ShopMember
        fields = ["role"]


class NewMemberForm(forms.ModelForm):
    author_id: int  # set by the page

    phone = forms.CharField(
        label=_("phone"),
        help_text=_("Of somebody who has signed in before; the whole number."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )

    class Meta:
        model = ShopMember
        fields = ["shop", "phone", "role"]

    def clean(self):
        """Look for the person last, when all else is right: it is no way to try out numbers."""
        entered = super().clean()
        if not self.errors:
            phone = self.cleaned_data["phone"].strip()
            try:
                person = members.person_by_phone(phone, author_id=self.author_id)
            except TooManyRequests as refusal:
                raise forms.ValidationError(str(refusal)) from refusal
            if person is None:
                self.add_error("phone", _("Nobody with this phone has signed in yet."))
            else:
                self.instance.person = person
        return entered


@admin.register(ShopMember)
class ShopMemberAdmin(EditAdmin):
    """Who works where. Each change goes through the service, which no form may pass by."""

    wall = OfShop("shop")
    is_recorded_by_services = True
    list_display = ["person", "shop", "role", "created_at"]
    list_filter = ["role", "shop"]
    list_select_related = ["person", "shop"]
    search_fields = ["person__nickname", "=person__phone"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["shop", "pk"]
    readonly_fields = ["created_at", "updated_at"]

    def get_form(self, request, obj=None, change=False, **options):
        options["form"] = MemberForm if obj else NewMemberForm
        form = super().get_form(request, obj, change, **options)
        form.author_id = request.user.pk
        return form

    def get_readonly_fields(self, request, obj=None):
        return [*super().get_readonly_fields(request, obj), *(["person"] if obj else [])]

    def get_fields(self, request, obj=None):
        return ["shop", "person", "role", *self.dates] if obj else ["shop", "phone", "role"]

    def save_model(self, request, obj, form, change):
        role = ShopRole(form.cleaned_data["role"])
        if change:
            members.change_role(member=obj, role=role, author_id=request.user.pk)
            return
        member = members.join(
            shop_id=obj.shop_id, person=obj.person, role=role, author_id=request.user.pk
        )
        obj.pk = member.pk

    def delete_model(self, request, obj):
        members.leave(member=obj, author_id=request.user.pk)

    def delete_queryset(self, request, queryset):
        members.leave_all(list(queryset), author_id=request.user.pk)
