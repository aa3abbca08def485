from django.db.models import Q
from django.utils.translation import gettext as _
from rest_framework import serializers

from catalog.errors import ExchangeCodeUnknown, InvalidQuantity
from catalog.limits import MAX_QUANTITY
from catalog.models import Category, OrderStatus, Shop
from catalog.outputs import OrderOutput
from ops.api.fields import IdentifierField, IdentifierTextField, TextField, WholeNumberField
from ops.identifiers import find, read_identifier

SORTS = {
    "newest": ("-id",),
    "points": ("points_price", "id"),
    "-points": ("-points_price", "-id"),
    "sales": ("-sales_count", "-id"),
}


class MallQuery(serializers.Serializer):
    category = serializers.CharField(required=False, help_text="Its name or its id.")
    search = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="In name and description; empty as if left out.",
    )
    shop = IdentifierTextField(required=False, help_text="The id of a shop.")
    min_points = serializers.IntegerField(required=False, min_value=0)
    max_points = serializers.IntegerField(required=False, min_value=0)
    affordable = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Only what the person's points cover; strangers get everything.",
    )
    sort = serializers.ChoiceField(choices=list(SORTS), required=False, default="newest")

    def validate_category(self, text):
        is_meant = Q(name=text)
        if (pk := read_identifier(text)) is not None:
            is_meant |= Q(pk=pk)
        found = Category.objects.filter(is_meant).first()
        if found is None:
            raise serializers.ValidationError(_("There is no such category."))
        return found

    def validate_shop(self, text):
        found = find(Shop.objects.all(), read_identifier(text))
        if found is None:
            raise serializers.ValidationError(_("There is no such shop."))
        return found


class OrdersQuery(serializers.Serializer):
    status = serializers.ChoiceField(choices=OrderStatus.choices, required=False)


class ExchangeInput(serializers.Serializer):
    refusals = {"quantity": InvalidQuantity}

    product_id = IdentifierField(is_needed=True)
    quantity = WholeNumberField(required=False, default=1, min_value=1, max_value=MAX_QUANTITY)


class RedeemInput(serializers.Serializer):
    refusals = {"exchange_code": ExchangeCodeUnknown}

    exchange_code = TextField(help_text="Case, spaces and hyphens do not matter.")


class ShopOutput(serializers.ModelSerializer):
    shop_id = serializers.IntegerField(source="pk")
    open = serializers.BooleanField(source="is_open")

    class Meta:
        model = Shop
        fields = ["shop_id", "name", "address", "open"]


class CategoryOutput(serializers.ModelSerializer):
    category_id = serializers.IntegerField(source="pk")

    class Meta:
        model = Category
        fields = ["category_id", "name"]


class ExchangeOutput(serializers.Serializer):
    exchange_id = serializers.IntegerField()
    exchange_code = serializers.CharField()
    remaining_points = serializers.IntegerField()
    points_version = serializers.IntegerField()
    order = OrderOutput()
