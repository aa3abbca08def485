from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from catalog.models import Order
from catalog.services import orders
from ops.admin_base import ReadOnlyAdmin, change_each
from ops.walls import OfShop


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

    def has_cancel_permission(self, request, order=None):
        return self.may(request, "cancel", order)

    @admin.action(description=_("Cancel: points and stock return"), permissions=["cancel"])
    def cancel(self, request, queryset):
        def take_back(order):
            orders.cancel(person_id=order.person_id, order_id=order.pk)

        change_each(self, request, rows=queryset, change=take_back, success=str)
