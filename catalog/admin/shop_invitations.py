from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.errors import InvalidPhone
from accounts.services.sign_in_codes import check_phone
from catalog.models import ShopInvitation, ShopRole
from catalog.services import invitations
from ops.admin_base import EditAdmin
from ops.walls import OfShop


class InvitationForm(forms.ModelForm):
    class Meta:
        model = ShopInvitation
        fields = ["shop", "phone", "role"]
        help_texts = {
            "phone": _(
                "The whole number. Tell them: they join by signing in here with this phone, or by "
                "accepting in the app. They need no account yet."
            )
        }
        widgets = {
            "phone": UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"})
        }

    def clean_phone(self):
        phone = self.cleaned_data["phone"].strip()
        try:
            check_phone(phone)
        except InvalidPhone as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        return phone

    def validate_constraints(self):
        """A second invitation renews the first: the service sees to it."""


@admin.register(ShopInvitation)
class ShopInvitationAdmin(EditAdmin):
    """Who was asked to work where. Inviting and withdrawing go through the service."""

    wall = OfShop("shop")
    is_recorded_by_services = True
    form = InvitationForm
    list_display = ["masked_phone", "shop", "role", "invited_by", "created_at", "expires_at"]
    list_filter = ["role", "shop"]
    list_select_related = ["shop", "invited_by"]
    ordering = ["-pk"]
    readonly_fields = ["masked_phone", "invited_by", "expires_at", "created_at", "updated_at"]

    def get_fields(self, request, obj=None):
        if obj is None:
            return ["shop", "phone", "role"]
        return ["shop", "masked_phone", "role", "invited_by", "expires_at", *self.dates]

    def get_changeform_initial_data(self, request):
        """The role with the fewest rights, unless somebody chooses another."""
        return {"role": ShopRole.CASHIER, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request, obj=None):
        return False

    def save_model(self, request, obj, form, change):
        invitation = invitations.invite(
            shop_id=obj.shop_id,
            phone=obj.phone,
            role=ShopRole(obj.role),
            author_id=request.user.pk,
        )
        obj.pk = invitation.pk

    def delete_model(self, request, obj):
        invitations.withdraw_all([obj], author_id=request.user.pk)

    def delete_queryset(self, request, queryset):
        invitations.withdraw_all(list(queryset), author_id=request.user.pk)

    @admin.display(description=_("phone"))
    def masked_phone(self, invitation):
        return invitation.masked_phone
