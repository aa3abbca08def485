import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import User
from catalog.models import Category, Product, ProductImage, StockEntry, StockOperation
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    make_category,
    make_member,
    make_order,
    make_png,
    make_prize_order,
    make_product,
    make_shop,
)
from favorites import services as favorites
from tests.console import fill_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff():
    return User.objects.create_superuser("staff", "secret")


@pytest.fixture
def console(client, staff):
    client.force_login(staff)
    return client


@pytest.mark.parametrize(
    "model",
    [
        "catalog_shop",
        "catalog_category",
        "catalog_product",
        "catalog_producttemplate",
        "catalog_selection",
        "catalog_stockentry",
        "catalog_virtualcode",
        "catalog_order",
        "favorites_favorite",
    ],
)
def test_every_list_shows(console, model):
    make_member(shop=make_shop())
    order = make_order(product=make_product(codes=["A-1", "A-2"]))
    favorites.add(person=order.person, product_id=order.product_id)

    assert console.get(reverse(f"admin:{model}_changelist")).status_code == 200


@pytest.mark.parametrize(
    "model", ["catalog_stockentry", "catalog_virtualcode", "catalog_order", "favorites_favorite"]
)
def test_what_services_write_is_only_shown(console, model):
    assert console.get(reverse(f"admin:{model}_add")).status_code == 403


def test_a_code_is_nowhere_to_be_read(console):
    order = make_order(product=make_product(codes=["SECRET"]))
    code = order.codes.get()

    for name, pk in (("virtualcode", code.pk), ("order", order.pk)):
        page = console.get(reverse(f"admin:catalog_{name}_change", args=[pk])).content.decode()
        assert "SECRET" not in page
        assert code.code_encrypted not in page
        assert order.exchange_code not in page


def test_no_form_changes_stock_or_kind(console):
    product = make_product(stock=5, category=make_category())
    path = reverse("admin:catalog_product_change", args=[product.pk])

    answer = fill_in(console, path, name="Tea", stock="99", sales_count="99", kind="virtual")

    assert answer.status_code == 302
    product.refresh_from_db()
    assert (product.name, product.stock, product.kind) == ("Tea", 5, "physical")
    assert Category.objects.count() == 1


def test_pictures_are_sent_with_the_form(console):
    product = make_product()
    path = reverse("admin:catalog_product_change", args=[product.pk])

    def send(content):
        picture = SimpleUploadedFile("tea.png", content)
        fields = {"images-TOTAL_FORMS": "1", "images-0-picture": picture, "images-0-position": "0"}
        return fill_in(console, path, **fields)

    assert send(b"no picture").status_code == 200
    assert not ProductImage.objects.exists()
    assert send(make_png((9, 9))).status_code == 302
    image = ProductImage.objects.get()
    assert image.file.name == "tea.png"


def test_a_picture_is_moved_without_sending_it_again(console):
    product = make_product()
    path = reverse("admin:catalog_product_change", args=[product.pk])
    image = add_picture(product_id=product.pk, content=make_png((9, 9)))

    fill_in(console, path, **{"images-0-position": "7"})

    moved = ProductImage.objects.get()
    assert (moved.position, moved.file) == (7, image.file)


def test_a_new_row_needs_a_picture(console):
    product = make_product()
    path = reverse("admin:catalog_product_change", args=[product.pk])

    answer = fill_in(console, path, **{"images-TOTAL_FORMS": "1", "images-0-position": "7"})

    assert answer.context["errors"] == [["请选择图片。"]]
    assert not ProductImage.objects.exists()


def send_action(console, product, action, **answers):
    path = reverse(f"admin:catalog_product_{action}", args=[product.pk])
    assert console.get(path).status_code == 200
    return console.post(path, {"_form_submitted": "on", **answers})


def test_stock_changes_with_a_reason(console, staff):
    product = make_product(stock=5)

    answer = send_action(
        console, product, "change_stock", quantity="-2", operation="admin_adjust", reason="broken"
    )

    assert answer.status_code == 302
    entry = StockEntry.objects.get(operation=StockOperation.ADMIN_ADJUST)
    assert (entry.quantity, entry.author, entry.reason) == (-2, staff, "broken")
    assert Product.objects.get().stock == 3


@pytest.mark.parametrize(
    "answers",
    [
        {"quantity": "0", "operation": "admin_adjust", "reason": "x"},
        {"quantity": "-1", "operation": "restock", "reason": "x"},
        {"quantity": "1", "operation": "prize", "reason": "x"},
        {"quantity": "1", "operation": "restock", "reason": ""},
        {"quantity": "-9", "operation": "admin_adjust", "reason": "more than there is"},
    ],
)
def test_a_wrong_change_of_stock_is_refused(console, answers):
    product = make_product(stock=5)

    send_action(console, product, "change_stock", **answers)

    assert StockEntry.objects.count() == 1


def test_codes_are_added_line_by_line(console):
    product = make_product(codes=[])

    send_action(console, product, "add_codes", codes="A-1\r\nA-2\r\n\r\nA-1")

    product.refresh_from_db()
    assert product.stock == 2


def test_orders_are_cancelled_by_the_service(console):
    bought, won = make_order(), make_prize_order()

    answer = console.post(
        reverse("admin:catalog_order_changelist"),
        {"action": "cancel", "_selected_action": [bought.pk, won.pk]},
        follow=True,
    )

    bought.refresh_from_db()
    won.refresh_from_db()
    assert (bought.status, won.status) == ("cancelled", "pending")
    assert len(list(answer.context["messages"])) == 2
