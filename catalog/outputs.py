"""What clients read of products and orders: also for the apps above that show them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple, cast

from django.db.models import Prefetch, prefetch_related_objects
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import User
from accounts.services.merged_accounts import account_ids, is_own
from catalog.models import (
    Order,
    OrderSource,
    OrderStatus,
    Product,
    ProductImage,
    ProductKind,
    mall_shows,
)
from catalog.services.virtual_codes import codes_by_order, codes_of
from ops.api.rows import Item, Row, Writer, through
from ops.models import StoredFile
from ops.services.public_files import FileFacts, public_address

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
        return _status_of(product.status, is_listed=product.is_listed)

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
        is_owner = is_own(self.context["request"].user, order.person_id)
        return codes_of(order) if is_owner and order.status == OrderStatus.DELIVERED else None


def _status_of(status: str, *, is_listed: bool) -> Literal["active", "inactive"]:
    return "active" if mall_shows(status, is_listed=is_listed) else "inactive"


def _address(request: Request, file: StoredFile) -> str:
    # What is absolute already stays as it is.
    address: str = request.build_absolute_uri(public_address(file))
    return address


def bring_what_is_shown(orders: Sequence[Order]) -> None:
    """Bring along what an `OrderOutput` shows besides the order, in a query each for all of them.

    Products, their pictures, and codes where any were delivered; what is there is not read again.
    """
    images = ProductImage.objects.select_related("file", "thumbnail")
    prefetch_related_objects(orders, "product", Prefetch("product__images", images))
    delivered = [order for order in orders if order.status == OrderStatus.DELIVERED]
    prefetch_related_objects(delivered, "codes")


# --- Lists, from columns --------------------------------------------------------------------------
COLUMNS_OF_PRODUCTS = (
    "id",
    "name",
    "description",
    "category__name",
    "category_id",
    "shop_id",
    "points_price",
    "market_price",
    "stock",
    "stock_version",
    "sales_count",
    "kind",
    "status",
    "is_listed",
    "on_sale_from",
    "on_sale_until",
)
COLUMNS_OF_ORDERS = (
    "id",
    "person_id",
    "exchange_code",
    "product_id",
    "product_name",
    "kind",
    "unit_points",
    "quantity",
    "total_points",
    "status",
    "source",
    "expires_at",
    "redeemed_at",
    "created_at",
)


def product_items(
    request: Request, rows: Collection[Row], *, is_favorite: bool | None
) -> list[Item]:
    """Products as `ProductOutput` shows them, from their columns; pictures in a query for all."""
    write = Writer(request)
    pictures = _pictures_of(write, (row["id"] for row in rows))
    return [
        {
            "commodity_id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "category": row["category__name"],
            "category_id": row["category_id"],
            "shop_id": row["shop_id"],
            "image": pictures[row["id"]].image,
            "thumbnail": pictures[row["id"]].thumbnail,
            "exchange_points": row["points_price"],
            "market_price": write.decimal(row["market_price"]),
            "stock": row["stock"],
            "stock_version": row["stock_version"],
            "sales_count": row["sales_count"],
            "kind": row["kind"],
            "is_favorite": is_favorite,
            "status": _status_of(row["status"], is_listed=row["is_listed"]),
            "on_sale_from": write.moment(row["on_sale_from"]),
            "on_sale_until": write.moment(row["on_sale_until"]),
        }
        for row in rows
    ]


def order_items(request: Request, rows: Collection[Row]) -> list[Item]:
    """Orders as `OrderOutput` shows them, from their columns.

    Pictures in a query for all, and the codes of the person's own where any were delivered.
    """
    write = Writer(request)
    pictures = _pictures_of(write, (row["product_id"] for row in rows))
    own = set(account_ids(cast("User", request.user)))
    codes = codes_by_order([row["id"] for row in rows if _shows_codes(own, row)])
    return [
        {
            "exchange_id": row["id"],
            "exchange_code": row["exchange_code"],
            "product": {
                "commodity_id": row["product_id"],
                "name": row["product_name"],
                "kind": row["kind"],
                "image": pictures[row["product_id"]].image,
                "exchange_points": row["unit_points"],
            },
            "quantity": row["quantity"],
            "total_points": row["total_points"],
            "status": row["status"],
            "source": row["source"],
            "delivered": codes.get(row["id"]),
            "expires_at": write.moment(row["expires_at"]),
            "redeemed_at": write.moment(row["redeemed_at"]),
            "created_at": write.moment(row["created_at"]),
        }
        for row in rows
    ]


def _shows_codes(own: Collection[int], row: Row) -> bool:
    return row["person_id"] in own and row["status"] == OrderStatus.DELIVERED


class _Picture(NamedTuple):
    """The addresses of the picture that stands for a product."""

    image: str | None
    thumbnail: str | None


_NO_PICTURE = _Picture(None, None)


def _pictures_of(write: Writer, product_ids: Iterable[int | None]) -> dict[int | None, _Picture]:
    """The picture of each of these products, in one query; None is no product."""
    pictures = dict.fromkeys(product_ids, _NO_PICTURE)
    facts = [*through("file", FileFacts._fields), *through("thumbnail", FileFacts._fields)]
    images = ProductImage.objects.filter(product__in=[pk for pk in pictures if pk])
    for product_id, *of_both in images.values_list("product_id", *facts):
        if pictures[product_id] is _NO_PICTURE:
            file, thumbnail = FileFacts(*of_both[:3]), FileFacts(*of_both[3:])
            image = write.address(public_address(file))
            has_thumbnail = thumbnail.sha256 is not None
            small = write.address(public_address(thumbnail)) if has_thumbnail else image
            pictures[product_id] = _Picture(image, small)
    return pictures
