from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response

from accounts.models import User
from catalog import serializers
from catalog.errors import ProductNotFound
from catalog.models import Category, Order, Product, Shop
from catalog.outputs import (
    OrderOutput,
    ProductDetailOutput,
    ProductOutput,
    order_data,
    order_items,
    product_items,
)
from catalog.services import orders
from catalog.services.shops import require_merchant
from ops.api.fields import path_identifier
from ops.api.idempotency import answer_once
from ops.api.pagination import page
from ops.api.views import ApiView, OpenView


class MayRedeem(BasePermission):
    """Only for those who work at a counter somewhere; refuses with 6001 or 1009."""

    def has_permission(self, request, view):
        require_merchant(request.user, *orders.COUNTER_ROLES)
        return True


class ShopsView(OpenView):
    """The shops, also those that are closed for now."""

    @extend_schema(responses=serializers.ShopOutput(many=True))
    def get(self, request):
        rows, following = page(request, Shop.objects.all())
        return Response({"items": serializers.ShopOutput(rows, many=True).data, "next": following})


class CategoriesView(OpenView):
    """The shelves of the mall, in their order."""

    @extend_schema(responses=serializers.CategoryOutput(many=True))
    def get(self, request):
        rows, following = page(request, Category.objects.all(), ordering=["position", "id"])
        return Response(
            {"items": serializers.CategoryOutput(rows, many=True).data, "next": following}
        )


class ProductsView(OpenView):
    """The mall. Filters can be combined."""

    @extend_schema(parameters=[serializers.MallQuery], responses=ProductOutput(many=True))
    def get(self, request):
        wanted = self.query(serializers.MallQuery)
        products = Product.objects.visible().select_related("category")
        if "category" in wanted:
            products = products.filter(category=wanted["category"])
        if "shop" in wanted:
            products = products.filter(shop=wanted["shop"])
        if "search" in wanted:
            text = wanted["search"]
            products = products.filter(Q(name__icontains=text) | Q(description__icontains=text))
        if "min_points" in wanted:
            products = products.filter(points_price__gte=wanted["min_points"])
        if "max_points" in wanted:
            products = products.filter(points_price__lte=wanted["max_points"])
        if wanted["affordable"] and request.user.is_authenticated:
            products = products.filter(points_price__lte=request.user.total_points)
        rows, following = page(request, products, ordering=serializers.SORTS[wanted["sort"]])
        return Response({"items": product_items(request, rows), "next": following})


class ProductView(OpenView):
    """One product of the mall, with all its pictures."""

    @extend_schema(responses=ProductDetailOutput)
    def get(self, request, product_id):
        found = Product.objects.visible().filter(pk=path_identifier(product_id) or 0).first()
        if found is None:
            raise ProductNotFound
        return Response(product_items(request, [found], shape=ProductDetailOutput)[0])


class ExchangeView(ApiView):
    """Buy with points. A virtual product delivers its codes at once."""

    honours_idempotency_key = True

    @extend_schema(request=serializers.ExchangeInput, responses=serializers.ExchangeOutput)
    def post(self, request):
        body = self.body(serializers.ExchangeInput)

        def effect():
            order = orders.exchange(person_id=request.user.pk, **body)
            # Read again: the request's person was read before the exchange.
            person = User.objects.only("total_points", "points_version").get(pk=request.user.pk)
            return {
                "exchange_id": order.pk,
                "exchange_code": order.exchange_code,
                "remaining_points": person.total_points,
                "points_version": person.points_version,
                "order": order_data(request, order),
            }

        return answer_once(request, effect)


class OrdersView(ApiView):
    """The person's orders from the mall and from the wheel, newest first."""

    @extend_schema(parameters=[serializers.OrdersQuery], responses=OrderOutput(many=True))
    def get(self, request):
        wanted = self.query(serializers.OrdersQuery)
        mine = Order.objects.filter(person=request.user)
        if "status" in wanted:
            mine = mine.filter(status=wanted["status"])
        rows, following = page(request, mine)
        return Response({"items": order_items(request, rows), "next": following})


class OrderView(ApiView):
    """One order of the person."""

    @extend_schema(responses=OrderOutput)
    def get(self, request, exchange_id):
        order = orders.own_order(person_id=request.user.pk, order_id=path_identifier(exchange_id))
        return Response(order_data(request, order))


class CancelView(ApiView):
    """Take a pending order of the mall back; points and stock return, once."""

    honours_idempotency_key = True

    @extend_schema(request=None, responses=OrderOutput)
    def post(self, request, exchange_id):
        def effect():
            order = orders.cancel(person_id=request.user.pk, order_id=path_identifier(exchange_id))
            return order_data(request, order)

        return answer_once(request, effect)


class RedeemView(ApiView):
    """Hand an order over at the counter: for owners, managers and cashiers of its shop."""

    honours_idempotency_key = True
    permission_classes = (IsAuthenticated, MayRedeem)

    @extend_schema(request=serializers.RedeemInput, responses=OrderOutput)
    def post(self, request):
        body = self.body(serializers.RedeemInput)

        def effect():
            return order_data(request, orders.redeem(cashier=request.user, **body))

        return answer_once(request, effect)
