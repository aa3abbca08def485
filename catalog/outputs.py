"""What clients read of products and orders: also for the apps above that show them."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from django.db.models import Prefetch, prefetch_related_objects
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from catalog.models import Order, OrderSource, OrderStatus, Product, ProductImage, ProductKind
from catalog.services.virtual_codes import codes_of
from ops.models import StoredFile
from ops.services.public_files import public_address

ADDRESS_OR_NONE = serializers.URLField(allow_null=True)


class ProductOutput(serializers.Serializer[Product]):
    """A product of the mall.

    `image` and `thumbnail` need no header and are the same for everybody: what lies there never
    changes, so picture and address may be kept for ever. Another picture has another address.
    """

    commodity_id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    description = serializers.CharField()
    category = serializers.CharField(source="category.name", default=None, allow_null=True)
    category_id = serializers.IntegerField(allow_null=True)
    shop_id = serializers.IntegerField()
    image = serializers.SerializerMethodField()
    thumbnail = serializers.SerializerMethodField()
    exchange_points = serializers.IntegerField(source="points_price")
    market_price = serializers.DecimalField(max_digits=10, decimal_places=2, help_text="CNY")
    stock = serializers.IntegerField()
    stock_version = serializers.IntegerField()
    sales_count = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=ProductKind.choices)
    is_favorite = serializers.BooleanField(allow_null=True)
    status = serializers.SerializerMethodField()
    on_sale_from = serializers.DateTimeField(allow_null=True)
    on_sale_until = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(ADDRESS_OR_NONE)
    def get_image(self, product: Product) -> str | None:
        return next((self._address(image.file) for image in product.images.all()), None)

    @extend_schema_field(ADDRESS_OR_NONE)
    def get_thumbnail(self, product: Product) -> str | None:
        images = product.images.all()
        return next((self._address(image.thumbnail or image.file) for image in images), None)

    def get_status(self, product: Product) -> Literal["active", "inactive"]:
        """`active`, or `inactive` for what was withdrawn from the mall."""
        return "active" if product.is_visible else "inactive"

    def _address(self, file: StoredFile) -> str:
        return _address(self.context["request"], file)


class ProductDetailOutput(ProductOutput):
    """One product, with all its pictures."""

    images = serializers.SerializerMethodField()
    limit_per_user = serializers.IntegerField(source="limit_per_person", allow_null=True)

    @extend_schema_field(serializers.ListField(child=serializers.URLField()))
    def get_images(self, product: Product) -> list[str]:
        return [self._address(image.file) for image in product.images.all()]


class OrderedProductOutput(serializers.Serializer[Order]):
    """The product of an order as it was; a prize may have none in the mall."""

    commodity_id = serializers.IntegerField(source="product_id", allow_null=True)
    name = serializers.CharField(source="product_name")
    kind = serializers.ChoiceField(choices=ProductKind.choices)
    image = serializers.SerializerMethodField()
    exchange_points = serializers.IntegerField(source="unit_points")

    @extend_schema_field(ADDRESS_OR_NONE)
    def get_image(self, order: Order) -> str | None:
        images = order.product.images.all() if order.product else []
        request = self.context["request"]
        return next((_address(request, image.file) for image in images), None)


class OrderOutput(serializers.Serializer[Order]):
    """An order. `delivered` holds the codes of a delivered one, for its owner alone."""

    exchange_id = serializers.IntegerField(source="pk")
    exchange_code = serializers.CharField()
    product = OrderedProductOutput(source="*")
    quantity = serializers.IntegerField()
    total_points = serializers.IntegerField()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    source = serializers.ChoiceField(choices=OrderSource.choices)  # type: ignore[assignment]
    delivered = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField(allow_null=True)
    redeemed_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_delivered(self, order: Order) -> list[str] | None:
        is_owner = order.person_id == self.context["request"].user.pk
        return codes_of(order) if is_owner and order.status == OrderStatus.DELIVERED else None


def _address(request: Request, file: StoredFile) -> str:
    # What is absolute already stays as it is.
    address: str = request.build_absolute_uri(public_address(file))
    return address


def product_items(
    request: Request,
    products: Iterable[Product],
    *,
    shape: type[ProductOutput] = ProductOutput,
) -> list[dict[str, Any]]:
    """Products as clients read them; bring them by `mall.shown_to`."""
    return list(shape(products, many=True, context={"request": request}).data)  # type: ignore[arg-type]


def bring_what_is_shown(orders: Sequence[Order]) -> None:
    """Bring along what an `OrderOutput` shows besides the order, in a query each for all of them.

    Products, their pictures, and codes where any were delivered; what is there is not read again.
    """
    images = ProductImage.objects.select_related("file", "thumbnail")
    prefetch_related_objects(orders, "product", Prefetch("product__images", images))
    delivered = [order for order in orders if order.status == OrderStatus.DELIVERED]
    prefetch_related_objects(delivered, "codes")


def order_items(request: Request, orders: Sequence[Order]) -> list[dict[str, Any]]:
    """Orders as clients read them, with a number of queries that does not grow with theirs."""
    bring_what_is_shown(orders)
    return list(OrderOutput(orders, many=True, context={"request": request}).data)  # type: ignore[arg-type]
