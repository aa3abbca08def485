from functools import partial

from django import forms
from django.contrib import admin, messages
from django.http import HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models import ShopMember, ShopRole
from catalog.services import invitations, members
from ops.admin_base import EditAdmin, change_page
from ops.identifiers import find, read_identifier
from ops.walls import OfShop


class MemberForm(forms.ModelForm):
    class Meta:
        model = ShopMember
        fields = ["role"]


@admin.register(ShopMember)
class ShopMemberAdmin(EditAdmin):
    """Who works where. Each change goes through the service, which no form may pass by.

    Nobody is added here: they are invited, and join by themselves.
    """

    wall = OfShop("shop")
    is_recorded_by_services = True
    form = MemberForm
    list_display = ["person", "shop", "role", "created_at"]
    list_filter = ["role", "shop"]
    list_select_related = ["person", "shop"]
    search_fields = ["person__nickname", "=person__phone"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["shop", "pk"]
    fields = ["shop", "person", "role", "created_at", "updated_at"]
    readonly_fields = ["person", "created_at", "updated_at"]

    def get_urls(self):
        view = self.admin_site.admin_view(self.mine)
        return [path("mine/", view, name="catalog_shopmember_mine"), *super().get_urls()]

    def has_add_permission(self, request, obj=None):
        return False

    def save_model(self, request, obj, form, change):
        role = ShopRole(form.cleaned_data["role"])
        members.change_role(member=obj, role=role, author_id=request.user.pk)

    def delete_model(self, request, obj):
        members.leave(member=obj, author_id=request.user.pk)

    def delete_queryset(self, request, queryset):
        members.leave_all(list(queryset), author_id=request.user.pk)

    def mine(self, request):
        """Where whoever is signed in works, and where they were invited to: theirs to say."""
        if request.method == "POST":
            self._answer(request)
            return redirect("admin:catalog_shopmember_mine")
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        person = User.objects.get(pk=request.user.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Where I work"),
            "memberships": self._own(request).select_related("shop").order_by("pk"),
            "invitations": invitations.open_to(person).order_by("-pk"),
        }
        return TemplateResponse(request, "admin/catalog/shopmember/mine.html", context)

    def _own(self, request):
        return ShopMember.objects.filter(person_id=request.user.pk)

    def _answer(self, request):
        """Do what the button says that was pressed; its value is the id of its row."""
        person = User.objects.get(pk=request.user.pk)
        for button, act in self.buttons.items():
            if button in request.POST:
                row_id = read_identifier(request.POST[button])
                change_page(self, request, change=partial(act, self, request, person, row_id))

    def _accept(self, request, person, invitation_id):
        shop = invitations.accept(person=person, invitation_id=invitation_id).shop
        text = _("You work at %(shop)s now.") % {"shop": shop.name}
        self.message_user(request, text, messages.SUCCESS)

    def _decline(self, request, person, invitation_id):
        invitations.decline(person=person, invitation_id=invitation_id)
        self.message_user(request, _("The invitation is declined."), messages.SUCCESS)

    def _leave(self, request, person, member_id):
        member = find(self._own(request).select_related("shop"), member_id)
        if member is None:  # gone meanwhile
            return
        members.leave(member=member, author_id=person.pk)
        text = _("You do not work at %(shop)s any more.") % {"shop": member.shop.name}
        self.message_user(request, text, messages.SUCCESS)

    buttons = {"accept": _accept, "decline": _decline, "leave": _leave}
