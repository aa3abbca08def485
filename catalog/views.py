from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response

from accounts.errors import InvalidPhone, NotEnoughPoints, SecondFactorMissing
from accounts.models import User
from accounts.services import console_sign_in
from accounts.services.merged_accounts import account_ids
from accounts.services.sign_in_codes import check_phone
from catalog import serializers
from catalog.errors import (
    AlreadyRedeemed,
    ExchangeCodeVoid,
    InvitationGone,
    LastOwner,
    LimitReached,
    NotAMerchant,
    NotCancellable,
    NotEnoughStock,
    NotOnSale,
    OrderNotFound,
    ProductNotFound,
    TooManyInvitations,
    WorksThere,
)
from catalog.models import Category, Order, Product, Shop, ShopInvitation, ShopMember, ShopRole
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
from catalog.services import invitations, mall, members, orders
from catalog.services.shops import require_merchant
from ops.api.kept import OF_A_PAGE, Content, KeptView
from ops.api.pagination import page
from ops.api.views import AnswerOnceView, ApiView
from ops.errors import NotAllowed, NotFound, TooManyRequests
from ops.identifiers import find, read_identifier


class MayRedeem(BasePermission):
    """Only for those who work at a counter somewhere; refuses with 6001 or 1009."""

    refusals = (NotAMerchant, NotAllowed)

    def has_permission(self, request, view):
        require_merchant(request.user, *orders.COUNTER_ROLES)
        return True


class MayRunMembers(BasePermission):
    """Only for owners of a shop; to leave, for whoever works at one. Refuses with 6001 or 1009."""

    refusals = (NotAMerchant, NotAllowed)

    def has_permission(self, request, view):
        require_merchant(request.user, *(() if request.method == "DELETE" else [ShopRole.OWNER]))
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


class MembersView(ApiView):
    """Who works at a shop: for its owners, and for whoever leaves it."""

    permission_classes = (IsAuthenticated, MayRunMembers)
    refusals = {
        "GET": (NotFound,),
        "POST": (
            NotFound,
            WorksThere,
            TooManyInvitations,
            TooManyRequests,
            SecondFactorMissing,
        ),
        "PATCH": (NotFound, TooManyRequests, SecondFactorMissing),
        "DELETE": (NotFound, LastOwner, InvalidPhone, TooManyRequests, SecondFactorMissing),
    }

    @extend_schema(
        parameters=[serializers.MembersQuery], responses=serializers.MemberOutput(many=True)
    )
    def get(self, request, shop_id):
        """Who works there, or who was invited and has not answered yet."""
        wanted = self.query(serializers.MembersQuery)
        at = self._shop(request, shop_id)
        rows: QuerySet[Any]
        if wanted["status"] == "invited":
            rows = ShopInvitation.objects.pending(timezone.now()).filter(shop_id=at)
        else:
            rows = ShopMember.objects.filter(shop_id=at).select_related("person")
        shown, following = page(request, rows)
        items = serializers.MemberOutput(shown, many=True).data
        return Response({"items": items, "next": following})

    @extend_schema(request=serializers.InvitationInput, responses=serializers.MemberOutput)
    def post(self, request, shop_id):
        """Invite somebody by their phone; they join once they accept. Again: the same, renewed."""
        wanted = self._named(serializers.InvitationInput)
        at = self._shop(request, shop_id)
        self._confirm(wanted)
        invitation = invitations.invite(
            shop_id=at,
            phone=wanted["phone"],
            role=ShopRole(wanted["role"]),
            author_id=request.user.pk,
        )
        return Response(serializers.MemberOutput(invitation).data)

    @extend_schema(request=serializers.RoleInput, responses=serializers.MemberOutput)
    def patch(self, request, shop_id):
        """Give somebody another role, who works there or was invited."""
        wanted = self._named(serializers.RoleInput)
        found = self._find(self._shop(request, shop_id), wanted)
        role = ShopRole(wanted["role"])
        self._confirm(wanted)
        if isinstance(found, ShopMember):
            members.change_role(member=found, role=role, author_id=request.user.pk)
        else:
            found = invitations.invite(
                shop_id=found.shop_id, phone=found.phone, role=role, author_id=request.user.pk
            )
        return Response(serializers.MemberOutput(found).data)

    @extend_schema(parameters=[serializers.WhoGoesQuery], responses=None)
    def delete(self, request, shop_id):
        """Let a member go, or take an invitation back. Everybody may leave by themselves.

        Without a parameter the body names them as for PATCH: `{"phone": "13800138001"}`. A phone is
        never in an address. Whoever has a second factor sends its code in the body, as
        `second_factor`; to leave by oneself it is not needed.
        """
        asked = self.query(serializers.WhoGoesQuery)
        wanted = {name: read_identifier(text) for name, text in asked.items()}
        if wanted:
            wanted |= self.body(serializers.SecondFactorInput)
        else:
            wanted = self._named(serializers.WhichMember)
        at = self._shop(request, shop_id, is_for_all=True)
        found = self._find(at, wanted)
        if not self._is_own(found):
            self._confirm(wanted)
        if isinstance(found, ShopMember):
            members.leave(member=found, author_id=request.user.pk)
        else:
            invitations.withdraw_all([found], author_id=request.user.pk)
        return Response(None)

    def _named(self, shape):
        """The body; a phone that is none is told before anything is looked up."""
        body = self.body(shape)
        if "phone" in body:
            check_phone(body["phone"])
        return body

    def _shop(self, request, shop_id, *, is_for_all=False):
        """The id of the shop; of another one than those where somebody works there is none."""
        at = read_identifier(shop_id)
        role = require_merchant(request.user).get(at or 0)
        if role is None:
            raise NotFound
        self.is_owner = role == ShopRole.OWNER
        if not (self.is_owner or is_for_all):
            raise NotAllowed
        return at

    def _find(self, at, named):
        """Whoever is named at the shop. Who does not own it may name nobody but themselves."""
        there = ShopMember.objects.filter(shop_id=at).select_related("person")
        invited = ShopInvitation.objects.pending(timezone.now()).filter(shop_id=at)
        if phone := named.get("phone"):
            found = there.filter(person__phone=phone).first() or invited.filter(phone=phone).first()
        else:
            found = find(there, named.get("member_id"))
            found = found or find(invited, named.get("invitation_id"))
        if not (self.is_owner or self._is_own(found)):
            raise NotAllowed
        if found is None:
            raise NotFound
        return found

    def _is_own(self, found):
        return isinstance(found, ShopMember) and found.person_id == self.request.user.pk

    def _confirm(self, wanted):
        """Ask whoever has a second factor for it: the console asks before the same changes."""
        person = self.request.user
        assert isinstance(person, User)  # noqa: S101  permission_classes let nobody else in
        answer = wanted.get("second_factor", "")
        console_sign_in.confirm_by_api(person=person, answer=answer)


class InvitationsView(ApiView):
    """The shops that invited the person to work there."""

    @extend_schema(responses=serializers.InvitationOutput(many=True))
    def get(self, request):
        """Those that wait for an answer, the newest first."""
        person = User.objects.get(pk=request.user.pk)
        shown, following = page(request, invitations.open_to(person))
        items = serializers.InvitationOutput(shown, many=True).data
        return Response({"items": items, "next": following})


class InvitationView(ApiView):
    """One of the invitations of the person."""

    refusals = (InvitationGone, WorksThere)

    @extend_schema(request=serializers.InvitationAnswerInput, responses=serializers.AnsweredOutput)
    def post(self, request, invitation_id):
        """Accept it and work there, or decline it."""
        decision = self.body(serializers.InvitationAnswerInput)["decision"]
        person = User.objects.get(pk=request.user.pk)
        asked = {"person": person, "invitation_id": read_identifier(invitation_id)}
        if decision == "accept":
            member = invitations.accept(**asked)
            answer = {"shop_id": member.shop_id, "role": member.role}
        else:
            invitations.decline(**asked)
            answer = {"shop_id": None, "role": None}
        return Response(serializers.AnsweredOutput(answer).data)


def _page_of(items, following, *, about=None):
    return Content({"items": items, "next": following}, about=about)


def _shown(order):
    """The order with what its answer shows."""
    bring_what_is_shown([order])
    return order
