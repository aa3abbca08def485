from functools import partial

from django import forms
from django.contrib import admin, messages
from django.db.models import prefetch_related_objects
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from catalog.models import Order
from catalog.outputs import bring_what_is_shown
from catalog.services import orders
from ops.admin_base import ReadOnlyAdmin, change_each, change_page
from ops.errors import DomainError
from ops.services.public_files import public_address
from ops.walls import OfShop

HAND_OVER = "hand_over"


class CodeForm(forms.Form):
    """A code as somebody types it or reads it off a phone."""

    exchange_code = forms.CharField(
        label=_("exchange code"),
        max_length=100,
        help_text=_("Capitals, spaces and dashes do not matter."),
        widget=UnfoldAdminTextInputWidget(
            attrs={
                "autofocus": True,
                "autocomplete": "off",
                "autocapitalize": "characters",
                "autocorrect": "off",
                "spellcheck": "false",
                "placeholder": "ABCD-EFGH-JKMN",
                "class": "counter-code",
            }
        ),
    )


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    wall = OfShop("shop")
    list_display = [
        "id",
        "created_at",
        "person",
        "product_name",
        "quantity",
        "total_points",
        "source",
        "status",
        "shop",
    ]
    list_filter = ["status", "source", "kind", "shop", "created_at"]
    list_select_related = ["person", "shop"]
    search_fields = ["=person__phone", "person__nickname", "product_name"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["-id"]
    # A code opens its order at the counter: it is for its owner, not for the console.
    exclude = ["exchange_code"]
    actions = ["cancel"]
    actions_list = ["redeem"]

    def has_redeem_permission(self, request, order=None):
        return self.may(request, "redeem", order)

    @action(
        description=_("Redeem a code"),
        url_path="redeem",
        permissions=["redeem"],
        icon="qr_code_scanner",
    )
    @method_decorator(sensitive_post_parameters("exchange_code"))
    def redeem(self, request):
        """The counter: look at the order of a code, then hand it over as the API does.

        The code opens the order, so that it comes in the body of a POST and is written nowhere.
        """
        form = CodeForm(request.POST or None)
        order = None
        if request.method == "POST" and form.is_valid():
            asked = {"cashier": request.user, **form.cleaned_data}
            if HAND_OVER in request.POST:
                if change_page(self, request, change=partial(self._hand_over, request, asked)):
                    return redirect("admin:catalog_order_redeem")
            else:
                order = self._look_up(request, asked)
        return self._counter_page(request, form, order)

    def _look_up(self, request, asked):
        """The order that may be handed over; None after a refusal, which is told."""
        try:
            order = orders.look_up(**asked)
        except DomainError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return None
        prefetch_related_objects([order], "person", "shop")
        bring_what_is_shown([order])
        return order

    def _hand_over(self, request, asked):
        order = orders.redeem(**asked)
        text = _("Handed over: %(quantity)s × %(product)s, order #%(order)s of %(person)s.") % {
            "quantity": order.quantity,
            "product": order.product_name,
            "order": order.pk,
            "person": order.person,
        }
        self.message_user(request, text, messages.SUCCESS)

    def _counter_page(self, request, form, order):
        if order:
            del form.fields["exchange_code"].widget.attrs["autofocus"]  # the button has it
        images = order.product.images.all() if order and order.product else []
        pictures = (public_address(image.thumbnail or image.file) for image in images)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Redeem a code"),
            "form": form,
            "order": order,
            "picture": next(pictures, ""),
            "hand_over": HAND_OVER,
            "every_shop": _("every shop"),
        }
        return TemplateResponse(request, "admin/catalog/order/redeem.html", context)

    def has_cancel_permission(self, request, order=None):
        return self.may(request, "cancel", order)

    @admin.action(description=_("Cancel: points and stock return"), permissions=["cancel"])
    def cancel(self, request, queryset):
        def take_back(order):
            orders.cancel_for_customer(order_id=order.pk, author_id=request.user.pk)

        change_each(self, request, rows=queryset, change=take_back, success=str)
