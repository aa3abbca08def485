from django import forms
from django.contrib import admin
from django.db import transaction
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import User
from catalog.models import ShopMember, ShopRole
from catalog.services import members
from ops.admin_base import EditAdmin
from ops.walls import OfShop


class MemberForm(forms.ModelForm):
    class Meta:
        model = ShopMember
        fields = ["role"]


class NewMemberForm(forms.ModelForm):
    phone = forms.CharField(
        label=_("phone"),
        help_text=_("Of somebody who has signed in before; the whole number."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )

    class Meta:
        model = ShopMember
        fields = ["shop", "phone", "role"]

    def clean_phone(self):
        person = User.objects.filter(phone=self.cleaned_data["phone"].strip()).first()
        if person is None:
            raise forms.ValidationError(_("Nobody with this phone has signed in yet."))
        self.instance.person = person
        return person.phone


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
        return super().get_form(request, obj, change, **options)

    def get_readonly_fields(self, request, obj=None):
        return [*self.readonly_fields, *(["shop", "person"] if obj else [])]

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

    @transaction.atomic
    def delete_queryset(self, request, queryset):
        for member in queryset:
            members.leave(member=member, author_id=request.user.pk)
