import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import User
from catalog.errors import NotAPicture
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
from ops.errors import Unavailable
from ops.models import IdempotencyRecord, StoredFile
from ops.tests.picture_samples import flat_png
from ops.tests.storages import folder_failing
from tests.console import fill_in, form_of
from tests.races import race, without_constraint

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
    bomb = flat_png(16_000, 16_000, colour=0, depth=1)  # 256 megapixels
    assert send(bomb).context["errors"][0][0] == str(NotAPicture())
    assert not StoredFile.objects.exists()
    assert not ProductImage.objects.exists()
    assert send(make_png((9, 9))).status_code == 302
    image = ProductImage.objects.get()
    assert image.file.name == "tea.png"


@pytest.mark.parametrize("after", [0, 1])
def test_a_storage_that_is_away_is_said_beside_the_picture(console, after):
    product = make_product()
    path = reverse("admin:catalog_product_change", args=[product.pk])
    picture = SimpleUploadedFile("tea.png", make_png((9, 9)))
    fields = {"images-TOTAL_FORMS": "1", "images-0-picture": picture, "images-0-position": "0"}

    with folder_failing("save", after=after):
        answer = fill_in(console, path, **fields)

    assert answer.status_code == 200
    assert str(Unavailable()) in answer.content.decode()
    assert not ProductImage.objects.exists()
    assert not StoredFile.objects.filter(is_temporary=False).exists()


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
    return fill_in(console, dialog_of(product, action), **answers)


def dialog_of(product, action="change_stock"):
    return reverse(f"admin:catalog_product_{action}", args=[product.pk])


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


RESTOCK = {"quantity": "5", "operation": "restock", "reason": "came"}


def told(console, product):
    page = console.get(reverse("admin:catalog_product_change", args=[product.pk]))
    return [str(message) for message in page.context["messages"]]


def test_a_dialog_that_is_sent_twice_books_once(console):
    product = make_product(stock=5)
    sent = {**form_of(console.get(dialog_of(product))), **RESTOCK}
    console.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"

    console.post(dialog_of(product), sent)
    assert told(console, product) == ["The stock was changed."]
    console.post(dialog_of(product), {**sent, "quantity": "7"})
    assert told(console, product) == ["This was sent twice and booked once."]

    assert StockEntry.objects.filter(reason="came").count() == 1
    send_action(console, product, "change_stock", **RESTOCK)  # another dialog
    assert Product.objects.get().stock == 15


def test_a_dialog_that_was_refused_may_be_sent_again(console):
    product = make_product(stock=5)
    sent = {**form_of(console.get(dialog_of(product))), **RESTOCK, "operation": "admin_adjust"}

    console.post(dialog_of(product), {**sent, "quantity": "-9"})
    assert Product.objects.get().stock == 5
    console.post(dialog_of(product), {**sent, "quantity": "-2"})
    assert Product.objects.get().stock == 3


def test_a_dialog_without_its_key_books_nothing(console):
    product = make_product(stock=5)
    console.post(dialog_of(product), {"_form_submitted": "True", **RESTOCK})
    assert Product.objects.get().stock == 5


def test_the_page_around_a_dialog_is_loaded_anew(console):
    product = make_product(stock=5)
    sent = {**form_of(console.get(dialog_of(product))), **RESTOCK}

    answer = console.post(dialog_of(product), sent, headers={"HX-Request": "true"})

    page = reverse("admin:catalog_product_change", args=[product.pk])
    assert (answer.status_code, answer["HX-Redirect"]) == (200, page)


def send_at_once(staff, product):
    """The same dialog, sent twice at the same moment."""
    client = Client()
    client.force_login(staff)
    sent = {**form_of(client.get(dialog_of(product))), **RESTOCK}

    def send():
        one = Client()
        one.force_login(staff)
        return one.post(dialog_of(product), sent).status_code

    assert race([send, send]) == [302, 302]
    return Product.objects.get().stock


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_dialog_that_is_sent_twice_at_the_same_time_books_once(staff):
    assert send_at_once(staff, make_product(stock=5)) == 10


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_constraint_it_books_twice(staff):
    product = make_product(stock=5)
    with without_constraint(IdempotencyRecord, "idempotencyrecord_one_effect"):
        assert send_at_once(staff, product) == 15


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
