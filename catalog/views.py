from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response

from accounts.errors import NotEnoughPoints
from accounts.services.merged_accounts import account_ids
from catalog import serializers
from catalog.errors import (
    AlreadyRedeemed,
    ExchangeCodeVoid,
    LimitReached,
    NotAMerchant,
    NotCancellable,
    NotEnoughStock,
    NotOnSale,
    OrderNotFound,
    ProductNotFound,
)
from catalog.models import Category, Order, Product, Shop
from catalog.outputs import (
    COLUMNS_OF_ORDERS,
    COLUMNS_OF_PRODUCTS,
    OrderOutput,
    ProductDetailOutput,
    ProductOutput,
    bring_what_is_shown,
    order_items,
    product_items,
)
from catalog.services import mall, orders
from catalog.services.shops import require_merchant
from ops.api.kept import OF_A_PAGE, Content, KeptView
from ops.api.pagination import page
from ops.api.views import AnswerOnceView, ApiView
from ops.errors import NotAllowed
from ops.identifiers import find, read_identifier


class MayRedeem(BasePermission):
    """Only for those who work at a counter somewhere; refuses with 6001 or 1009."""

    refusals = (NotAMerchant, NotAllowed)

    def has_permission(self, request, view):
        require_merchant(request.user, *orders.COUNTER_ROLES)
        return True


class ShopsView(KeptView):
    """The shops, also those that are closed for now."""

    topic = "catalog"

    @extend_schema(responses=serializers.ShopOutput(many=True))
    def get(self, request):
        return self.answer(request, self._page, asks=OF_A_PAGE)

    def _page(self, request):
        rows, following = page(request, Shop.objects.all())
        return _page_of(serializers.ShopOutput(rows, many=True).data, following)


class CategoriesView(KeptView):
    """The shelves of the mall, in their order."""

    topic = "catalog"

    @extend_schema(responses=serializers.CategoryOutput(many=True))
    def get(self, request):
        return self.answer(request, self._page, asks=OF_A_PAGE)

    def _page(self, request):
        rows, following = page(request, Category.objects.all(), ordering=["position", "id"])
        return _page_of(serializers.CategoryOutput(rows, many=True).data, following)


class MallView(KeptView):
    """What the mall shows: the same to everybody, except for what a person keeps of it."""

    topic = "catalog"
    own_fields = ("is_favorite",)

    def own(self, person, about):
        kept = mall.favorites_among(person, about)
        return {"is_favorite": [product_id in kept for product_id in about]}


class ProductsView(MallView):
    """The mall. Filters can be combined."""

    @extend_schema(parameters=[serializers.MallQuery], responses=ProductOutput(many=True))
    def get(self, request):
        is_of_their_points = request.user.is_authenticated and "affordable" in request.query_params
        return self.answer(
            request,
            self._page,
            asks=(*serializers.MallQuery().fields, *OF_A_PAGE),
            is_alike=not is_of_their_points,
        )

    def _page(self, request):
        wanted = self.query(serializers.MallQuery)
        products = Product.objects.visible()
        if "category" in wanted:
            products = products.filter(category=wanted["category"])
        if "shop" in wanted:
            products = products.filter(shop=wanted["shop"])
        if text := wanted.get("search"):
            products = products.filter(Q(name__icontains=text) | Q(description__icontains=text))
        if "min_points" in wanted:
            products = products.filter(points_price__gte=wanted["min_points"])
        if "max_points" in wanted:
            products = products.filter(points_price__lte=wanted["max_points"])
        if wanted["affordable"] and request.user.is_authenticated:
            products = products.filter(points_price__lte=request.user.total_points)
        columns = products.values(*COLUMNS_OF_PRODUCTS)
        rows, following = page(request, columns, ordering=serializers.SORTS[wanted["sort"]])
        items = product_items(request, rows, is_favorite=None)
        return _page_of(items, following, about=[row["id"] for row in rows])


class ProductView(MallView):
    """One product of the mall, with all its pictures."""

    refusals = (ProductNotFound,)

    @extend_schema(responses=ProductDetailOutput)
    def get(self, request, product_id):
        return self.answer(request, self._product)

    def _product(self, request):
        visible = mall.shown(Product.objects.visible())
        found = find(visible, read_identifier(self.kwargs["product_id"]))
        if found is None:
            raise ProductNotFound
        item = ProductDetailOutput(found, context={"request": request}).data
        return Content(item, about=[found.pk])


class ExchangeView(AnswerOnceView):
    """Buy with points. A virtual product delivers its codes at once."""

    shape = serializers.ExchangeInput
    answer = serializers.ExchangeOutput
    refusals = (ProductNotFound, NotOnSale, LimitReached, NotEnoughStock, NotEnoughPoints)

    def effect(self, request, body):
        order = _shown(orders.exchange(person_id=request.user.pk, **body))
        return {
            "exchange_id": order.pk,
            "exchange_code": order.exchange_code,
            "remaining_points": order.person.total_points,
            "points_version": order.person.points_version,
            "order": order,
        }


class OrdersView(ApiView):
    """The person's orders from the mall and from the wheel, newest first."""

    @extend_schema(parameters=[serializers.OrdersQuery], responses=OrderOutput(many=True))
    def get(self, request):
        wanted = self.query(serializers.OrdersQuery)
        mine = Order.objects.filter(person__in=account_ids(request.user))
        if "status" in wanted:
            mine = mine.filter(status=wanted["status"])
        rows, following = page(request, mine.values(*COLUMNS_OF_ORDERS))
        return Response({"items": order_items(request, rows), "next": following})


class OrderView(ApiView):
    """One order of the person."""

    refusals = (OrderNotFound,)

    @extend_schema(responses=OrderOutput)
    def get(self, request, exchange_id):
        order = orders.own_order(person_id=request.user.pk, order_id=read_identifier(exchange_id))
        return Response(OrderOutput(_shown(order), context={"request": request}).data)


class CancelView(AnswerOnceView):
    """Take a pending order of the mall back; points and stock return, once."""

    answer = OrderOutput
    refusals = (OrderNotFound, NotCancellable)

    def effect(self, request, _body):
        order_id = read_identifier(self.kwargs["exchange_id"])
        return _shown(orders.cancel(person_id=request.user.pk, order_id=order_id))


class RedeemView(AnswerOnceView):
    """Hand an order over at the counter: for owners, managers and cashiers of its shop."""

    permission_classes = (IsAuthenticated, MayRedeem)
    shape = serializers.RedeemInput
    answer = OrderOutput
    refusals = (AlreadyRedeemed, ExchangeCodeVoid)

    def effect(self, request, body):
        return _shown(orders.redeem(cashier=request.user, **body))


def _page_of(items, following, *, about=None):
    return Content({"items": items, "next": following}, about=about)


def _shown(order):
    """The order with what its answer shows."""
    bring_what_is_shown([order])
    return order
