"""Attempts to get at more than one's own in the console. All are refused, and nothing changes.

What a page shows and lets do when it is used as it is meant stands in tests/test_walls.py.
"""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import ConsoleDevice, DeviceSession, PointsEntry, User, UserStatus
from accounts.services import sign_in
from accounts.tests.factories import make_sign_in
from catalog.models import (
    Order,
    Product,
    ProductTemplate,
    Selection,
    ShopInvitation,
    ShopMember,
    ShopRole,
)
from catalog.services import members
from catalog.services.pictures import add_picture
from catalog.tests.factories import make_member, make_order, make_png, make_product
from lottery.models import Prize, Wheel
from lottery.tests.factories import make_draft
from ops.access import Role
from ops.models import AuditEntry
from tests.console import console_of, contents, fill_in, form_of, refused_unchanged
from tests.people import give_by_hand, make_person
from tests.two_shops import HERE, THERE, make_two_shops

pytestmark = pytest.mark.django_db

PASSWORDS = {"password1": "an0ther-s3cret", "password2": "an0ther-s3cret"}


@pytest.fixture
def world():
    return make_two_shops()


@pytest.fixture
def cast(world):
    return world.cast


@pytest.fixture
def superuser():
    return make_person(nickname="big boss", username="root", is_staff=True, is_superuser=True)


def page_of(row, kind="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{kind}", args=[row.pk])


def list_of(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def add_of(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def act(console, action, *rows, **fields):
    """Choose an action of a list for these rows."""
    chosen = [row.pk for row in rows]
    return console.post(list_of(rows[0]), {"action": action, "_selected_action": chosen, **fields})


def rights(person):
    """All that gives somebody rights, as it is stored."""
    stored = User.objects.get(pk=person.pk)
    return (
        stored.is_superuser,
        stored.is_staff,
        stored.status,
        stored.password,
        sorted(stored.groups.values_list("name", flat=True)),
        sorted(stored.user_permissions.values_list("codename", flat=True)),
        sorted(ShopMember.objects.filter(person=person).values_list("shop_id", "role")),
    )


def two_roles(cast, *, here, there):
    """Somebody who works at both shops, as something else at each."""
    person = make_member(shop=cast.shop, role=here)
    return make_member(shop=cast.other_shop, role=there, person=person)


# --- People and their rights ----------------------------------------------------------------------
PRIVILEGES = {
    "is_superuser": "on",
    "is_staff": "on",
    "status": "active",
    "groups": ["1", "2", "3", "4", "5", "6"],
    "user_permissions": ["1", "2", "3"],
}


def test_staff_makes_themselves_superuser_by_their_own_form(cast):
    before = rights(cast.staff)

    answer = fill_in(console_of(cast.staff), page_of(cast.staff), **PRIVILEGES, nickname="Me")

    assert answer.status_code == 302  # the name is theirs to change
    assert User.objects.get(pk=cast.staff.pk).nickname == "Me"
    assert rights(cast.staff) == before


def test_staff_gives_rights_to_a_customer_by_their_form(cast):
    before = rights(cast.customer)
    fill_in(console_of(cast.staff), page_of(cast.customer), **PRIVILEGES)
    assert rights(cast.customer) == before


def test_staff_makes_a_new_superuser(cast):
    sent = {"username": "new-one", **PASSWORDS, "usable_password": "true", **PRIVILEGES}
    console_of(cast.staff).post(add_of(User), sent)
    new = User.objects.get(username="new-one")
    assert (new.is_superuser, new.is_staff) == (False, False)
    assert not new.groups.exists()


@pytest.mark.parametrize("status", UserStatus.values)
def test_staff_sets_the_password_of_a_superuser(cast, superuser, status):
    User.objects.filter(pk=superuser.pk).update(status=status)
    console = console_of(cast.staff)
    address = reverse("admin:auth_user_password_change", args=[superuser.pk])
    with refused_unchanged():
        assert console.get(address).status_code == 403
        assert console.post(address, PASSWORDS).status_code == 403


@pytest.mark.parametrize("status", UserStatus.values)
def test_staff_edits_a_superuser(cast, superuser, status):
    User.objects.filter(pk=superuser.pk).update(status=status)
    console = console_of(cast.staff)
    form = form_of(console_of(make_root()).get(page_of(superuser)))
    with refused_unchanged():
        answer = console.post(page_of(superuser), {**form, "username": "mine"})
    assert answer.status_code == 403


def make_root():
    return make_person(nickname="other root", is_staff=True, is_superuser=True)


@pytest.mark.parametrize("action", ["activate", "deactivate", "ban"])
@pytest.mark.parametrize("status", [UserStatus.ACTIVE, UserStatus.BANNED])
def test_staff_acts_on_a_superuser(cast, superuser, action, status):
    User.objects.filter(pk=superuser.pk).update(status=status)
    with refused_unchanged():
        act(console_of(cast.staff), action, superuser)


@pytest.mark.parametrize("equal", ["another", "auditor"])
def test_staff_acts_on_an_equal_as_they_may(cast, equal):
    """Allowed, and said here: whoever holds every right of somebody gains none through them."""
    person = make_person(nickname="another", username="another", is_staff=True)
    person.groups.set(Group.objects.filter(name=Role.PLATFORM_STAFF))
    person = person if equal == "another" else cast.auditor
    console = console_of(cast.staff)

    fill_in(console, page_of(person), nickname="Renamed")
    fill_in(console, reverse("admin:auth_user_password_change", args=[person.pk]), **PASSWORDS)
    act(console, "ban", person)

    stored = User.objects.get(pk=person.pk)
    assert (stored.nickname, stored.status) == ("Renamed", UserStatus.BANNED)
    assert stored.check_password(PASSWORDS["password1"])


@pytest.mark.parametrize("whose", ["staff", "customer"])
def test_staff_chooses_a_role_on_the_platform(cast, whose):
    person = getattr(cast, whose)
    sent = {"role": Role.PLATFORM_STAFF, "request_key": str(uuid4()), "_form_submitted": "True"}
    with refused_unchanged():
        answer = console_of(cast.staff).post(page_of(person, "choose_platform_role"), sent)
    assert answer.status_code == 403


def test_a_superuser_changes_their_own_role(superuser):
    console = console_of(superuser)
    with refused_unchanged():
        fill_in(console, page_of(superuser, "choose_platform_role"), role=Role.AUDITOR)


def test_an_auditor_edits_what_they_read(cast, world):
    console = console_of(cast.auditor)
    root = console_of(make_root())
    for row in (cast.auditor, world.here["catalog.Product"], world.common["accounts.Tier"]):
        form = form_of(root.get(page_of(row)))
        with refused_unchanged():
            assert (
                console.post(page_of(row), {**form, **PRIVILEGES, "name": "X"}).status_code == 403
            )


@pytest.mark.parametrize("role", ["cashier", "owner", "staff", "auditor"])
def test_somebody_sets_their_own_password_without_the_old_one(cast, role):
    person = getattr(cast, role)
    person.set_password("s3cret-s3cret")
    person.save()
    console = console_of(person)
    new = {"new_password1": "an0ther-s3cret", "new_password2": "an0ther-s3cret"}
    with refused_unchanged():
        by_id = reverse("admin:auth_user_password_change", args=[person.pk])
        assert console.post(by_id, PASSWORDS).status_code == 403
        for old in ({}, {"old_password": ""}):
            assert console.post(reverse("admin:password_change"), {**old, **new}).status_code == 200
    before = rights(person)
    console.post(reverse("admin:password_change"), {"old_password": "guessed", **new})
    assert rights(person) == before  # the guess is counted


def test_an_owner_sets_the_password_of_their_customer(cast):
    console = console_of(cast.owner)
    address = reverse("admin:auth_user_password_change", args=[cast.customer.pk])
    with refused_unchanged():
        assert console.post(address, PASSWORDS).status_code == 403
        assert console.post(page_of(cast.customer), {"nickname": "Mine"}).status_code == 403


# --- Members --------------------------------------------------------------------------------------
def membership(person, shop):
    return ShopMember.objects.get(person=person, shop=shop)


@pytest.mark.parametrize("role", ["manager", "reviewer", "cashier"])
def test_an_owner_gives_themselves_another_role(cast, role):
    make_member(shop=cast.shop, role=ShopRole.OWNER)  # so that one is left
    own = membership(cast.owner, cast.shop)
    with refused_unchanged():
        fill_in(console_of(cast.owner), page_of(own), role=role)


@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager"])
def test_a_member_makes_themselves_owner(cast, role):
    person = getattr(cast, role)
    own = membership(person, cast.shop)
    form = form_of(console_of(cast.owner).get(page_of(own)))
    with refused_unchanged():
        answer = console_of(person).post(page_of(own), {**form, "role": "owner"})
    assert answer.status_code == 403


def new_member(shop, person, role="owner"):
    return {"shop": shop.pk, "phone": person.phone, "role": role}


def test_an_owner_adds_a_member_to_the_other_shop(cast):
    for person in (cast.owner, cast.customer):
        with refused_unchanged():
            answer = console_of(cast.owner).post(
                add_of(ShopInvitation), new_member(cast.other_shop, person)
            )
        assert "shop" in answer.context["adminform"].form.errors


@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager"])
def test_a_member_who_is_no_owner_adds_a_member(cast, role):
    console = console_of(getattr(cast, role))
    with refused_unchanged():
        answer = console.post(
            add_of(ShopInvitation), new_member(cast.shop, cast.customer, "cashier")
        )
    assert answer.status_code == 403


def test_an_owner_makes_a_member_of_the_other_shop_their_own(cast, world):
    """By the fields of a form that shows them alone."""
    other, own = world.there["catalog.ShopMember"], world.here["catalog.ShopMember"]
    sent = {"shop": cast.shop.pk, "person": own.person_id, "role": "owner"}
    console = console_of(cast.owner)
    with refused_unchanged():
        console.post(page_of(other), {**form_of(console.get(page_of(own))), **sent})
    sent = {"shop": cast.other_shop.pk, "person": cast.other_owner.pk, "role": "reviewer"}
    fill_in(console, page_of(own), **sent)
    moved = ShopMember.objects.get(pk=own.pk)
    assert (moved.shop_id, moved.person_id, moved.role) == (own.shop_id, own.person_id, "reviewer")


def test_the_last_owner_goes(cast):
    own = membership(cast.owner, cast.shop)
    console = console_of(cast.owner)
    with refused_unchanged():
        console.post(page_of(own, "delete"), {"post": "yes"})
        act(console, "delete_selected", own, post="yes")


# --- From one shop to the other -------------------------------------------------------------------
def test_an_owner_moves_a_product_to_the_other_shop(cast, world):
    product = world.here["catalog.Product"]
    fill_in(console_of(cast.owner), page_of(product), shop=cast.other_shop.pk)
    assert Product.objects.get(pk=product.pk).shop == cast.shop


@pytest.mark.parametrize("model", [Wheel, ProductTemplate])
def test_an_owner_makes_something_the_platforms(cast, world, model):
    """By sending the shop empty: such a wheel gives prizes in every shop."""
    own = world.here[model._meta.label]
    console = console_of(cast.owner)
    form = {**form_of(console.get(page_of(own))), "shop": ""}
    with refused_unchanged():
        answer = console.post(add_of(model), form)
    assert "shop" in answer.context["adminform"].form.errors
    console.post(page_of(own), form)
    assert model.objects.get(pk=own.pk).shop == cast.shop


@pytest.mark.parametrize("there", [None, ShopRole.CASHIER, ShopRole.REVIEWER])
def test_the_wheel_of_an_owner_gives_a_product_of_the_other_shop(cast, world, there):
    person = two_roles(cast, here=ShopRole.OWNER, there=there) if there else cast.owner
    give_by_hand(person, "view_product")
    product = world.there["catalog.Product"]
    wheel = world.here["lottery.Wheel"]
    sent = {"prizes-0-product": product.pk, "prizes-0-type": "physical"}
    with refused_unchanged():
        answer = fill_in(console_of(person), page_of(wheel), **sent)
    (formset,) = answer.context["inline_admin_formsets"]
    assert "product" in formset.formset.forms[0].errors


def test_a_selection_takes_the_template_of_the_other_shop(cast, world):
    template = world.there["catalog.ProductTemplate"]
    selection = world.here["catalog.Selection"]
    with refused_unchanged():
        answer = fill_in(console_of(cast.owner), page_of(selection), template=template.pk)
    assert "template" in answer.context["adminform"].form.errors


def test_rows_below_another_row_by_their_ids(cast, world):
    """The prizes of the other shop's wheel, sent with the form of one's own."""
    own, other = world.here["lottery.Wheel"], world.there["lottery.Wheel"]
    console = console_of(cast.owner)
    stolen = other.prizes.order_by("angle")[0]
    for pk in (stolen.pk, "x", "9" * 30, "-1", ""):
        before = contents()["lottery.Prize"]
        answer = fill_in(
            console,
            page_of(own),
            **{"prizes-0-id": pk, "prizes-0-name": "Stolen", "prizes-0-wheel": own.pk},
        )
        assert answer.status_code == 200, pk
        assert contents()["lottery.Prize"] == before
    assert Prize.objects.get(pk=stolen.pk).wheel == other


def test_pictures_of_another_product_by_their_ids(cast, world):
    own, other = world.here["catalog.Product"], world.there["catalog.Product"]
    add_picture(product_id=own.pk, content=make_png((9, 9)))
    image = add_picture(product_id=other.pk, content=make_png((9, 9)))
    console = console_of(cast.owner)
    for sent in (
        {"images-0-id": image.pk, "images-0-position": "7"},
        {"images-0-id": image.pk, "images-0-DELETE": "on"},
        {"images-0-id": image.pk, "images-0-product": own.pk},
        {"images-0-id": "x"},
        {"images-0-id": "9" * 30},
        {"images-TOTAL_FORMS": "x"},
    ):
        with refused_unchanged():
            assert fill_in(console, page_of(own), **sent).status_code == 200, sent
    before = contents()["catalog.ProductImage"]
    for number in ("9", "-1"):
        fill_in(console, page_of(own), **{"images-INITIAL_FORMS": number})
        fill_in(console, page_of(own), **{"images-TOTAL_FORMS": number})
        assert contents()["catalog.ProductImage"] == before


@pytest.mark.parametrize("select_across", ["0", "1"])
def test_an_owner_cancels_orders_of_the_other_shop(cast, world, select_across):
    order = world.there["catalog.Order"]
    Order.objects.exclude(pk=order.pk).delete()
    with refused_unchanged():
        act(console_of(cast.owner), "cancel", order, select_across=select_across)


@pytest.mark.parametrize("select_across", ["0", "1"])
def test_an_action_on_rows_of_which_one_is_the_other_shops(cast, world, select_across):
    """Who is owner here sees the orders there as a cashier, and cancels none of both."""
    person = two_roles(cast, here=ShopRole.OWNER, there=ShopRole.CASHIER)
    orders = world.here["catalog.Order"], world.there["catalog.Order"]
    console = console_of(person)
    assert {row.pk for row in console.get(list_of(Order)).context["cl"].result_list} >= {
        order.pk for order in orders
    }
    with refused_unchanged():
        act(console, "cancel", *orders, select_across=select_across)
        act(console, "cancel", orders[1])
    act(console, "cancel", orders[0])
    assert Order.objects.get(pk=orders[0].pk).status == "cancelled"


def test_an_owner_deletes_rows_of_the_other_shop(cast, world):
    console = console_of(cast.owner)
    for label in ("catalog.Product", "catalog.ProductTemplate", "catalog.ShopMember"):
        row = world.there[label]
        with refused_unchanged():
            console.post(page_of(row, "delete"), {"post": "yes"})
            act(console, "delete_selected", row, post="yes")


def test_an_owner_deletes_all_that_a_list_has(cast, world):
    """“All” are one's own; with the platform's among them, which one may not, none is deleted."""
    console = console_of(cast.owner)
    act(console, "delete_selected", world.here["catalog.Selection"], post="yes", select_across="1")
    assert Selection.objects.get() == world.there["catalog.Selection"]
    template = world.here["catalog.ProductTemplate"]
    with refused_unchanged():
        act(console, "delete_selected", template, post="yes", select_across="1")


def test_an_owner_deletes_a_template_of_the_platform(cast, world):
    """Which they see."""
    template = world.common["catalog.ProductTemplate"]
    console = console_of(cast.owner)
    assert console.get(page_of(template)).status_code == 200
    with refused_unchanged():
        assert console.post(page_of(template, "delete"), {"post": "yes"}).status_code == 403
        act(console, "delete_selected", template, post="yes")


@pytest.mark.parametrize("action", ["change_stock", "add_codes"])
@pytest.mark.parametrize("kind", ["catalog.Product", "a virtual product"])
def test_an_owner_changes_the_stock_of_the_other_shop(cast, world, action, kind):
    sent = {
        "quantity": "5",
        "operation": "restock",
        "reason": "came",
        "codes": "A-1",
        "request_key": str(uuid4()),
        "_form_submitted": "True",
    }
    console = console_of(cast.owner)
    with refused_unchanged():
        answer = console.post(page_of(world.there[kind], action), sent)
        assert answer.status_code == 403


def test_an_owner_saves_the_other_shops_row_as_a_new_one(cast, world):
    """`_saveasnew` lets the form of an address make a row, whether or not a page offers it."""
    console = console_of(cast.owner)
    form = form_of(console.get(page_of(world.here["catalog.Product"])))
    there = page_of(world.there["catalog.Product"])
    with refused_unchanged():
        console.post(there, {**form, "_saveasnew": "1", "shop": cast.other_shop.pk})


# --- Looking at what is not shown -----------------------------------------------------------------
LOOKUPS = [
    ("catalog.Order", "exchange_code__startswith"),
    ("catalog.Order", "person__phone__startswith"),
    ("catalog.Order", "person__password__startswith"),
    ("catalog.Order", "shop__members__person__phone__startswith"),
    ("catalog.Order", "shop__name__startswith"),
    ("catalog.Product", "shop__members__person__phone__startswith"),
    ("catalog.Product", "category__product__shop__name"),
    ("catalog.ShopInvitation", "phone__startswith"),
    ("catalog.ShopInvitation", "invited_by__phone__startswith"),
    ("catalog.ShopMember", "person__phone__startswith"),
    ("catalog.ShopMember", "person__password__regex"),
    ("catalog.VirtualCode", "code_encrypted__startswith"),
    ("catalog.VirtualCode", "order__exchange_code__startswith"),
    ("catalog.VirtualCode", "product__shop__name__startswith"),
    ("accounts.User", "phone__startswith"),
    ("accounts.User", "password__startswith"),
    ("accounts.User", "wechat_openid__startswith"),
    ("accounts.User", "memberships__shop__name"),
    ("lottery.Draw", "seed_pair__server_seed_encrypted__startswith"),
    ("lottery.Draw", "person__phone__startswith"),
    ("lottery.Prize", "wheel__shop__name__startswith"),
    ("reviews.Receipt", "sha256__startswith"),
    ("reviews.Receipt", "person__phone__startswith"),
    ("reviews.Receipt", "picture__path__startswith"),
]
OF_PLATFORM = [
    ("lottery.SeedPair", "server_seed_encrypted__startswith"),
    ("accounts.SignInCode", "phone__startswith"),
    ("accounts.SignInCode", "code_hash__startswith"),
    ("accounts.DeviceSession", "user__phone__startswith"),
    ("ops.IdempotencyRecord", "answer__startswith"),
]


@pytest.mark.parametrize(("label", "lookup"), LOOKUPS + OF_PLATFORM)
def test_the_address_of_a_list_filters_by_what_it_does_not_offer(cast, world, label, lookup):
    row = world.here.get(label) or world.common[label]
    actor = cast.owner if label in world.here else cast.auditor
    console = console_of(actor)
    assert console.get(list_of(row)).status_code == 200
    assert console.get(list_of(row), {lookup: "1"}).status_code == 400


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Product, "shop__lt=99999999999999999999999"),
        (Product, "shop__gte=1"),
        (PointsEntry, "created_at__year=1"),
        (PointsEntry, "created_at__year=9999"),
        (PointsEntry, "created_at__year=9999&created_at__month=12"),
        (PointsEntry, "created_at__month=99999999999999999999"),
        (PointsEntry, "created_at__gte=0001-01-01T00:00:00%2B23:59"),
        (PointsEntry, "created_at__lt=9999-12-31T23:59:59-23:59"),
        (PointsEntry, "created_at=9999-12-31T23:59:59-23:59"),
        (PointsEntry, "created_at__gte=x"),
    ],
)
def test_the_address_of_a_list_asks_for_what_no_filter_asks(cast, world, model, lookup):
    actor = cast.owner if model is Product else cast.staff
    assert console_of(actor).get(f"{list_of(model)}?{lookup}").status_code == 400


@pytest.mark.parametrize(
    "lookup",
    [
        "created_at__gte=2026-01-31+00:00:00%2B08:00&created_at__lt=2026-02-01+00:00:00%2B08:00",
        "created_at__year=2026&created_at__month=1&created_at__day=31",
        "created_at__month=1",
    ],
)
def test_dates_are_asked_for_as_the_list_offers_them(cast, world, lookup):
    console = console_of(cast.staff)
    assert console.get(f"{list_of(PointsEntry)}?{lookup}").status_code == 200


def test_a_new_form_is_filled_with_what_its_fields_cannot_take(cast, world):
    console = console_of(cast.owner)
    for wrong in (
        "on_sale_from=x",
        "on_sale_from=0001-01-01T00:00:00%2B23:59",
        "shop=99999999999999999999999&category=x",
        "price_points=x&images=x&orders=1",
    ):
        assert console.get(f"{add_of(Product)}?{wrong}").status_code == 200, wrong
    filled = console.get(f"{add_of(Product)}?name=Tea&on_sale_from=2026-01-31T10:20:00")
    sent = form_of(filled)
    assert sent["name"] == ["Tea"]
    assert (sent["on_sale_from_0"], sent["on_sale_from_1"]) == (["2026/01/31"], ["10:20:00"])


def test_a_search_of_very_many_words_asks_for_the_first_of_them(cast, world):
    console = console_of(cast.staff)
    product = Product.objects.filter(shop=cast.shop).earliest("pk")
    word = product.name.split()[0]
    assert product.pk in rows_found(console, Product, q=f"{word} " * 10 + "nowhere " * 2000)
    assert rows_found(console, Product, q=f"{word} " * 9 + "nowhere " * 2000) == set()


def rows_found(console, model, **asked):
    answer = console.get(list_of(model), asked)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def test_the_filter_of_a_list_names_the_other_shop(cast, world):
    console = console_of(cast.owner)
    own = set(Product.objects.filter(shop=cast.shop).values_list("pk", flat=True))
    for shop in (cast.shop, cast.other_shop):
        assert rows_found(console, Product, shop__id__exact=shop.pk) <= own


@pytest.mark.parametrize("label", ["accounts.User", "catalog.Order", "reviews.Receipt"])
def test_a_manager_searches_by_part_of_a_phone(cast, world, label):
    row = world.here[label]
    phone = cast.customer.phone
    console = console_of(cast.manager)
    for part in (phone[:-1], phone[1:], phone[:3], f"{phone[:-1]}%", f"{phone[:-1]}_"):
        assert rows_found(console, row, q=part) == set(), part
    assert rows_found(console, row, q=phone) == {row.pk}


@pytest.mark.parametrize("label", ["accounts.User", "catalog.Order", "reviews.Receipt"])
def test_a_manager_searches_by_the_phone_of_the_other_shops_customer(cast, world, label):
    console = console_of(cast.manager)
    assert rows_found(console, world.here[label], q=cast.other_customer.phone) == set()


@pytest.mark.parametrize(
    ("actor", "label"),
    [
        ("cashier", "catalog.Order"),
        ("reviewer", "reviews.Receipt"),
        ("auditor", "catalog.Order"),
        ("auditor", "accounts.User"),
    ],
)
def test_somebody_searches_by_a_phone_without_that_right(cast, world, actor, label):
    console = console_of(getattr(cast, actor))
    assert rows_found(console, world.here[label], q=cast.customer.phone) == set()


def test_the_right_to_search_by_phone_reaches_no_other_shop(cast, world):
    """A manager there who is a cashier here sees the orders here, and finds none by phone."""
    person = two_roles(cast, here=ShopRole.CASHIER, there=ShopRole.MANAGER)
    console = console_of(person)
    here, there = world.here["catalog.Order"], world.there["catalog.Order"]
    assert rows_found(console, Order) >= {here.pk, there.pk}
    assert rows_found(console, Order, q=cast.customer.phone) == set()
    assert rows_found(console, Order, q=cast.other_customer.phone) == {there.pk}
    assert rows_found(console, Order, q=f"{HERE} customer") == {here.pk}


def test_a_list_is_ordered_by_what_it_does_not_show(cast, world):
    make_order(person=cast.customer, product=world.here["a product with stock"])
    console = console_of(cast.owner)

    def order(**asked):
        page = console.get(list_of(Order), asked)
        assert page.status_code == 200
        return [row.pk for row in page.context["cl"].result_list]

    usual = order()
    for column in ("99", "-99", "exchange_code", "-exchange_code", "person__phone", "0x1"):
        assert order(o=column) == usual, column


COMPLETIONS = [
    ("catalog", "order", "person"),
    ("catalog", "order", "redeemed_by"),
    ("catalog", "shopmember", "person"),
    ("reviews", "receipt", "person"),
    ("lottery", "prize", "product"),
    ("catalog", "product", "shop"),
    ("lottery", "wheel", "shop"),
    ("catalog", "selection", "template"),
]


@pytest.mark.parametrize(("app", "model", "field"), COMPLETIONS)
def test_autocompletion_offers_the_other_shops_rows(cast, app, model, field):
    asked = {"app_label": app, "model_name": model, "field_name": field}
    console = console_of(cast.owner)
    for term in ("", THERE, cast.other_customer.phone, cast.other_customer.phone[:5]):
        answer = console.get(reverse("admin:autocomplete"), {**asked, "term": term})
        assert answer.status_code == 200
        assert THERE not in answer.content.decode()


@pytest.mark.parametrize(
    ("app", "model", "field"),
    [
        ("accounts", "pointsentry", "user__x"),
        ("accounts", "user", "groups"),
        ("accounts", "user", "user_permissions"),
        ("accounts", "user", "phone"),
        ("accounts", "user", "avatar"),
        ("auth", "permission", "content_type"),
        ("admin", "logentry", "content_type"),
        ("catalog", "productimage", "file"),
        ("lottery", "draw", "seed_pair"),
        ("lottery", "draw", "version"),
        ("lottery", "pitycounter", "wheel__shop"),
        ("nothing", "nothing", "nothing"),
        ("", "", ""),
        # The other way round, by which no form asks.
        ("catalog", "product", "orders"),
        ("catalog", "shop", "members"),
        ("accounts", "user", "pointsentry"),
        ("lottery", "wheel", "prizes"),
    ],
)
def test_autocompletion_is_asked_for_a_field_that_has_none(cast, superuser, app, model, field):
    asked = {"app_label": app, "model_name": model, "field_name": field}
    for person in (cast.owner, cast.cashier, superuser):
        answer = console_of(person).get(reverse("admin:autocomplete"), asked)
        assert answer.status_code in {403, 404} or person is superuser
        assert answer.status_code in {200, 403, 404}


def test_the_history_of_the_other_shops_row(cast, world, superuser):
    row = world.there["catalog.Product"]
    fill_in(console_of(superuser), page_of(row), name=f"{THERE} renamed")
    assert AuditEntry.objects.filter(object_id=str(row.pk), action="product.change").exists()
    answer = console_of(cast.owner).get(page_of(row, "history"), follow=True)
    assert THERE not in answer.content.decode()
    assert answer.redirect_chain


def test_the_history_of_ones_own_row_from_before_it_was_ones_own(cast, world, superuser):
    """A product that the platform moved here tells nothing of the time there."""
    product = world.there["catalog.Product"]
    root = console_of(superuser)
    fill_in(root, page_of(product), name="Secret of there")
    Product.objects.filter(pk=product.pk).update(shop=cast.shop)  # as no form does
    fill_in(root, page_of(product), name="Known here")
    page = console_of(cast.owner).get(page_of(product, "history")).content.decode()
    assert "Known here" in page
    assert "Secret of there" not in page.replace("Secret of there</td>", "", 1), "as it came"


def test_the_history_of_a_customer_is_the_platforms(cast, superuser):
    """A shop knows them; it need not know what the platform did about them."""
    by = {"person": cast.customer, "author_id": superuser.pk}
    sign_in.change_status(status=UserStatus.INACTIVE, **by)
    sign_in.change_status(status=UserStatus.ACTIVE, **by)
    page = page_of(cast.customer, "history")
    assert "big boss" in console_of(cast.staff).get(page).content.decode()
    assert "big boss" not in console_of(cast.owner).get(page).content.decode()


@pytest.mark.parametrize("role", ["cashier", "owner", "auditor"])
def test_somebody_ends_the_sign_ins_of_others_in_the_console(cast, role):
    person = getattr(cast, role)
    console, _other = console_of(person), console_of(cast.other_owner)
    own = ConsoleDevice.objects.get(person=person)
    theirs = ConsoleDevice.objects.get(person=cast.other_owner)
    if role != "auditor":
        assert rows_found(console, ConsoleDevice) == {own.pk}
    act(console, "end", theirs)
    act(console, "end", own, theirs)
    theirs.refresh_from_db()
    assert theirs.ended_at is None


def test_staff_ends_the_sign_in_of_a_superuser(cast, superuser):
    console_of(superuser)
    device = ConsoleDevice.objects.get(person=superuser)
    act(console_of(cast.staff), "end", device)
    device.refresh_from_db()
    assert device.ended_at is None


def test_staff_ends_the_sign_ins_of_a_superuser_in_the_app(cast, superuser):
    make_sign_in(superuser)
    session = DeviceSession.objects.get(user=superuser)
    act(console_of(cast.staff), "revoke", session)
    session.refresh_from_db()
    assert session.revoked_at is None


def test_the_short_address_of_a_row_tells_whether_it_is_there(cast, world):
    """`r/<type>/<id>/` answers alike whether or not there is such a row."""
    console = console_of(cast.cashier)
    for row in (world.there["catalog.Product"], cast.other_owner):
        kind = ContentType.objects.get_for_model(row)
        answers = {
            (answer.status_code, answer.content)
            for pk in (row.pk, 987_654_321, "x", "9" * 30)
            if (answer := console.get(f"/admin/r/{kind.pk}/{pk}/"))
        }
        assert len(answers) == 1
        assert {status for status, _content in answers} == {404}
    for no_kind in ("x", "9" * 30, "987654321"):
        assert console.get(f"/admin/r/{no_kind}/1/").status_code == 404


# --- Rights that ended, or were never given so ----------------------------------------------------
def test_the_session_of_a_former_member(cast, world):
    console = console_of(cast.manager)
    product = world.here["catalog.Product"]
    form = form_of(console.get(page_of(product)))
    assert form
    members.leave(member=membership(cast.manager, cast.shop))

    with refused_unchanged():
        for answer in (
            console.get(list_of(Product)),
            console.get(page_of(product)),
            console.post(page_of(product), {**form, "name": "Mine"}),
            act(console, "delete_selected", product, post="yes"),
        ):
            assert answer.status_code in {302, 403}
            assert HERE not in answer.content.decode()


def test_the_session_of_a_member_whose_row_was_deleted_otherwise(cast, world):
    """Not by the service, which closes the console: there is nothing in it for them."""
    console = console_of(cast.manager)
    product = world.here["catalog.Product"]
    ShopMember.objects.filter(person=cast.manager).delete()
    with refused_unchanged():
        assert console.get(page_of(product)).status_code in {302, 403}
        assert console.post(page_of(product), {"name": "Mine"}).status_code in {302, 403}


def test_the_session_of_somebody_whose_role_shrank(cast, world):
    console = console_of(cast.manager)
    order, product = world.here["catalog.Order"], world.here["catalog.Product"]
    form = form_of(console.get(page_of(product)))
    members.change_role(member=membership(cast.manager, cast.shop), role=ShopRole.CASHIER)

    with refused_unchanged():
        assert console.post(page_of(product), {**form, "name": "Mine"}).status_code == 403
        act(console, "cancel", order)
    assert console.get(page_of(order)).status_code == 200


def test_the_session_of_somebody_who_was_banned(cast, world):
    console = console_of(cast.owner)
    product = world.here["catalog.Product"]
    form = form_of(console.get(page_of(product)))
    sign_in.change_status(person=cast.owner, status=UserStatus.BANNED)
    with refused_unchanged():
        answer = console.post(page_of(product), {**form, "name": "Mine"})
    assert answer["Location"].startswith(reverse("admin:login"))


def test_the_session_of_somebody_who_lost_the_platforms_role(cast, world):
    console = console_of(cast.staff)
    tier = world.common["accounts.Tier"]
    form = form_of(console.get(page_of(tier)))
    cast.staff.groups.clear()
    with refused_unchanged():
        answer = console.post(page_of(tier), {**form, "name": "Mine"})
    assert answer.status_code in {302, 403}


def test_rights_to_look_are_no_rights_to_act(cast, world):
    """`view_order` cancelled orders once, `view_devicesession` signed customers out."""
    order, session = world.here["catalog.Order"], world.common["accounts.DeviceSession"]
    give_by_hand(cast.reviewer, "view_order", "view_devicesession")
    for person in (cast.reviewer, cast.cashier, cast.auditor):
        console = console_of(person)
        with refused_unchanged():
            act(console, "cancel", order)
            act(console, "revoke", session)
    assert console_of(cast.reviewer).get(page_of(order)).status_code == 200


def test_rights_given_by_hand_at_the_other_shops_rows(cast, world):
    """They count where somebody works."""
    give_by_hand(cast.cashier, "view_product", "change_product", "stock_product")
    console = console_of(cast.cashier)
    own, other = world.here["catalog.Product"], world.there["catalog.Product"]
    form = form_of(console.get(page_of(own)))
    with refused_unchanged():
        console.post(page_of(other), {**form, "name": "Mine"})
        assert console.get(page_of(other, "change_stock")).status_code == 403
    assert rows_found(console, Product) == set(
        Product.objects.filter(shop=cast.shop).values_list("pk", flat=True)
    )
    assert console.post(page_of(own), {**form, "name": "Ours"}).status_code == 302


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("accounts.Tier", "name"),
        ("catalog.Category", "name"),
        ("catalog.ProductTemplate", "title"),
        ("lottery.Wheel", "name"),
        ("ops.AlertRule", "name"),
    ],
)
def test_rights_given_by_hand_at_rows_of_no_shop(cast, world, superuser, label, name):
    """What all shops have in common is the platform's to change."""
    row = world.common[label]
    model = row._meta.model_name
    give_by_hand(
        cast.owner,
        *(f"{action}_{model}" for action in ("view", "add", "change", "delete")),
    )
    console, root = console_of(cast.owner), console_of(superuser)
    form = {**form_of(root.get(page_of(row))), name: "Mine"}
    with refused_unchanged():
        console.post(page_of(row), form)
        console.post(add_of(row), form)
        console.post(page_of(row, "delete"), {"post": "yes"})
        act(console, "delete_selected", row, post="yes")


def test_rights_given_by_hand_to_somebody_who_works_nowhere(world):
    person = make_person(nickname="nobody", is_staff=True)
    give_by_hand(person, "view_product", "change_product")
    console = console_of(person)
    product = world.here["catalog.Product"]
    with refused_unchanged():
        assert console.get(list_of(product)).status_code in {302, 403}
        assert console.post(page_of(product), {"name": "Mine"}).status_code in {302, 403}


@pytest.mark.parametrize("works_there", [False, True])
def test_somebody_is_put_into_the_group_of_owners(cast, world, works_there):
    """By SQL: a role of a shop comes from the membership, and from nothing else."""
    person = cast.cashier if works_there else make_person(nickname="nobody", is_staff=True)
    person.groups.add(Group.objects.get(name=Role.SHOP_OWNER))
    console = console_of(person)
    product = world.here["catalog.Product"]
    with refused_unchanged():
        assert console.get(list_of(product)).status_code in {302, 403}
        assert console.get(page_of(product)).status_code in {302, 403}
        assert console.post(page_of(product), {"name": "Mine"}).status_code in {302, 403}


# --- Crafted forms and addresses ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("label", "sent"),
    [
        (
            "catalog.Product",
            {"stock": "99", "stock_version": "99", "sales_count": "9", "kind": "virtual"},
        ),
        ("catalog.Selection", {"status": "listed", "product": "1", "margin": "9"}),
        ("lottery.Wheel", {"status": "active", "is_default": "on"}),
        ("catalog.Shop", {"id": "999", "pk": "999", "created_at": "2000-01-01"}),
        ("catalog.ShopMember", {"person": "1", "shop": "2", "person_id": "1", "shop_id": "2"}),
    ],
)
def test_a_form_sends_what_it_only_shows(cast, world, label, sent):
    row = world.here[label]
    rows = row._meta.model.objects.filter(pk=row.pk)

    def stored():
        (values,) = rows.values()
        return {name: value for name, value in values.items() if name != "updated_at"}

    before = stored()
    assert fill_in(console_of(cast.owner), page_of(row), **sent).status_code == 302
    assert stored() == before


def test_a_form_of_a_person_sends_points_and_status(cast):
    before = User.objects.filter(pk=cast.customer.pk).values().get()
    fill_in(
        console_of(cast.staff),
        page_of(cast.customer),
        total_points="9999",
        lifetime_points="9999",
        points_version="9",
        status="banned",
        phone="13900000000",
        wechat_openid="mine",
        last_login_0="2000-01-01",
        login_count="9",
    )
    after = User.objects.filter(pk=cast.customer.pk).values().get()
    assert {**after, "updated_at": before["updated_at"]} == before


@pytest.mark.parametrize("label", ["catalog.Order", "reviews.Receipt", "lottery.Draw"])
def test_a_page_to_look_at_takes_a_form(cast, world, superuser, label):
    row = world.here[label]
    for person in (cast.owner, superuser):
        console = console_of(person)
        with refused_unchanged():
            sent = {"status": "approved", "points_awarded": "999", "_save": "1"}
            assert console.post(page_of(row), sent).status_code == 403
            assert console.post(add_of(row), sent).status_code == 403
            assert console.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
            assert console.post(page_of(row), {**sent, "_saveasnew": "1"}).status_code == 403


@pytest.mark.parametrize("field", ["phone", "password", "exchange_code", "shop__name", "x"])
def test_a_row_is_asked_for_by_another_column(cast, world, field):
    """`_to_field` gives ids alone: else a page would answer whether a phone is right."""
    console = console_of(cast.owner)
    for row in (cast.customer, world.here["catalog.Order"], world.here["catalog.Product"]):
        for kind in ("change", "delete", "history"):
            answer = console.get(page_of(row, kind), {"_to_field": field, "_popup": "1"})
            assert answer.status_code in {200, 302, 400, 403}
            if kind != "history":
                assert answer.status_code in {400, 403}
        assert console.get(list_of(row), {"_to_field": field}).status_code == 400
    phone = console.get(
        reverse("admin:accounts_user_change", args=[cast.customer.phone]), {"_to_field": "phone"}
    )
    assert phone.status_code == 400


def test_a_popup_shows_the_other_shops_row(cast, world):
    console = console_of(cast.owner)
    row = world.there["catalog.Product"]
    for asked in ({"_popup": "1"}, {"_popup": "1", "_to_field": "id"}):
        answer = console.get(page_of(row), asked)
        assert answer.status_code == 302
        form = form_of(console.get(page_of(world.here["catalog.Product"]), asked))
        with refused_unchanged():
            answer = console.post(page_of(row), {**form, **asked, "name": "Mine"})
        assert answer.status_code == 302


NO_IDS = ["x", "0", "-1", "1.5", "1e3", "9" * 30, "-" + "9" * 30, "%00", "_31", "_20", "1'--"]


@pytest.mark.parametrize("pk", NO_IDS)
@pytest.mark.parametrize("actor", ["owner", "superuser"])
def test_addresses_with_ids_that_are_none(cast, world, superuser, pk, actor):
    console = console_of(superuser if actor == "superuser" else cast.owner)
    for row in (*world.here.values(), *world.common.values()):
        base = list_of(row)
        for kind in ("change", "delete", "history"):
            answer = console.get(f"{base}{pk}/{kind}/")
            assert answer.status_code in {200, 302, 403, 404}, (row._meta.label, kind)
    with refused_unchanged():
        products, people = list_of(Product), list_of(User)
        dialog = {
            "quantity": "5",
            "operation": "restock",
            "reason": "came",
            "codes": "A-1",
            "role": Role.AUDITOR,
            "until": "2999-01-01",
            "request_key": str(uuid4()),
            "_form_submitted": "True",
        }
        for address in (
            f"{products}{pk}/change_stock/",
            f"{products}{pk}/add_codes/",
            f"{people}{pk}/choose_platform_role/",
            f"{people}{pk}/grant_premium/",
            f"{people}{pk}/end_premium/",
            f"{people}{pk}/merge/",
            f"{people}{pk}/reset_second_factor/",
        ):
            assert console.get(address).status_code in {200, 403, 404}, address
            assert console.post(address, dialog).status_code in {302, 403, 404}, address
        answer = console.post(f"{people}{pk}/password/", PASSWORDS)
        assert answer.status_code in {200, 302, 403, 404}


@pytest.mark.parametrize("pk", NO_IDS)
def test_actions_on_ids_that_are_none(cast, world, pk):
    console = console_of(cast.owner)
    for row, action in (
        (world.here["catalog.Order"], "cancel"),
        (world.here["catalog.Product"], "delete_selected"),
        (world.here["reviews.Receipt"], "reject"),
        (world.here["lottery.Wheel"], "publish"),
    ):
        with refused_unchanged():
            answer = console.post(list_of(row), {"action": action, "_selected_action": [pk]})
            assert answer.status_code in {200, 302, 400}
        sent = {"action": action, "_selected_action": [row.pk, pk]}
        assert console.post(list_of(row), sent).status_code in {200, 302, 400}


def test_actions_on_draws_by_ids_that_are_none(cast, world):
    console = console_of(cast.owner)
    for pk in NO_IDS:
        answer = console.post(
            list_of(world.here["lottery.Draw"]), {"action": "x", "_selected_action": [pk]}
        )
        assert answer.status_code in {200, 302, 400}


@pytest.mark.parametrize("value", ["x", "9" * 30, "1,x", "\x00", "'", "-1", ""])
def test_lists_with_values_that_are_none(cast, world, superuser, value):
    for console in (console_of(cast.owner), console_of(superuser)):
        for asked in (
            {"shop__id__exact": value},
            {"shop__id__in": value},
            {"shop__isnull": value},
            {"status__exact": value},
            {"status__in": value},
            {"created_at__gte": value},
            {"created_at__year": value},
            {"q": value},
            {"o": value},
            {"p": value},
            {"all": value},
            {"_facets": value},
        ):
            answer = console.get(list_of(Order), asked)
            assert answer.status_code in {200, 302, 400}, asked
        for row in (*world.here.values(), *world.common.values()):
            assert console.get(list_of(row), {"q": value}).status_code in {200, 302, 403}
        asked = {"app_label": "lottery", "model_name": "prize", "field_name": "product"}
        for more in ({"term": value}, {"page": value}):
            answer = console.get(reverse("admin:autocomplete"), {**asked, **more})
            assert answer.status_code in {200, 404}, more


@pytest.mark.parametrize("value", ["x", "9" * 30, "-1", "1.5", "\x00"])
def test_forms_with_values_that_are_none(cast, world, value):
    console = console_of(cast.owner)
    for label, names in (
        ("catalog.Product", ("category", "points_price")),
        ("catalog.Selection", ("template",)),
        ("catalog.ShopMember", ("role",)),
        (
            "lottery.Wheel",
            ("fallback_prize", "prizes-0-product", "prizes-0-id", "prizes-0-angle"),
        ),
    ):
        for name in names:
            with refused_unchanged():
                answer = fill_in(console, page_of(world.here[label]), **{name: value})
                assert answer.status_code in {200, 302}, (label, name)


@pytest.mark.parametrize("written", ["_2B{}", "+{}", "0{}"])
def test_the_address_of_a_row_written_in_another_way(cast, world, written):
    """`+7` is 7 as well, and `_2B7` is how the console writes `+7`: a row has one page."""
    console = console_of(cast.owner)
    picture = SimpleUploadedFile("tea.png", make_png((9, 9)))
    pictured = {"images-TOTAL_FORMS": "1", "images-0-picture": picture, "images-0-position": "0"}
    for label, more in (("catalog.Product", pictured), ("lottery.Wheel", {})):
        row = world.here[label]
        address = f"{list_of(row)}{written.format(row.pk)}/change/"
        assert console.get(address).status_code == 200
        assert fill_in(console, address, **more).status_code == 302
        there = world.there[label]
        with refused_unchanged():
            answer = console.get(f"{list_of(there)}{written.format(there.pk)}/change/")
            assert answer.status_code == 302
            assert answer["Location"] == reverse("admin:index")
    product = world.here["catalog.Product"]
    dialog = f"{list_of(product)}{written.format(product.pk)}/change_stock/"
    fill_in(console, dialog, quantity="5", operation="restock", reason="came")
    product.refresh_from_db()
    assert product.stock == 5


def test_what_is_chosen_for_a_page_is_told(cast, world):
    """An action that is refused says so."""
    person = two_roles(cast, here=ShopRole.OWNER, there=ShopRole.CASHIER)
    answer = act(console_of(person), "cancel", world.there["catalog.Order"])
    assert [str(message) for message in get_messages(answer.wsgi_request)]


def test_another_wheels_prize_is_the_fallback(cast, world):
    own, other = world.here["lottery.Wheel"], world.there["lottery.Wheel"]
    with refused_unchanged():
        answer = fill_in(
            console_of(cast.owner), page_of(own), fallback_prize=other.fallback_prize_id
        )
    assert "fallback_prize" in answer.context["adminform"].form.errors


def test_a_new_wheel_takes_prizes_of_a_draft_of_the_other_shop(cast, world):
    other = make_draft(shop=cast.other_shop, name=f"{THERE} draft")
    console = console_of(cast.owner)
    form = form_of(console.get(page_of(world.here["lottery.Wheel"])))
    stolen = {
        name: [str(other.prizes.order_by("angle")[0].pk)] for name in form if name == "prizes-0-id"
    }
    with refused_unchanged():
        console.post(add_of(Wheel), {**form, **stolen, "shop": cast.other_shop.pk})


def test_a_product_of_ones_own_shop_is_chosen_as_it_may(cast, world):
    """The other side: what is refused above is not refused because nothing works."""
    product = make_product(shop=cast.shop, name=f"{HERE} prize product")
    wheel = world.here["lottery.Wheel"]
    sent = {"prizes-0-product": product.pk, "prizes-0-type": "physical"}
    assert fill_in(console_of(cast.owner), page_of(wheel), **sent).status_code == 302
    assert Prize.objects.filter(wheel=wheel, product=product).exists()
