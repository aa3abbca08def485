"""A form of the console that was open while somebody else changed its row.

`test_console_forms` walks every field of every page; here is what becomes of what was typed.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import pytest
from django.contrib.auth.models import Permission
from django.core import signing
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.admin.people import UserAdmin
from accounts.models import User
from catalog.models import Product, ProductImage, Shop, StockOperation
from catalog.services import pictures, stock
from catalog.services.pictures import add_picture
from catalog.tests.factories import make_png, make_product, make_shop
from lottery.models import Prize, Wheel
from lottery.tests.factories import make_draft
from ops import admin_base
from ops.models import StoredFile
from ops.services import files
from tests.console import form_of
from tests.people import make_person
from tests.races import Unlocked, race

pytestmark = pytest.mark.django_db
REFUSED = "Nothing was saved: somebody changed this while the page was open."
KEPT = "Changed meanwhile to “%s”: saving again replaces it."
TAKEN = "Changed meanwhile: “%s” stands here now."


@pytest.fixture
def staff():
    return User.objects.create_superuser("root", "s3cret-s3cret")


@pytest.fixture
def console(client, staff):
    client.force_login(staff)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def page_of(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def told(page):
    """What a refused page says, by field; what it says of rows as a whole under their prefix."""
    assert page.status_code == 200, page
    assert any(REFUSED in str(message) for message in page.context["messages"])
    form = page.context["adminform"].form
    formsets = [inline.formset for inline in page.context["inline_admin_formsets"]]
    said = {formset.prefix: list(formset.non_form_errors()) for formset in formsets}
    for one in (form, *(one for formset in formsets for one in formset.forms)):
        said |= {one.add_prefix(name): list(errors) for name, errors in one.errors.items()}
    return {name: sentences for name, sentences in said.items() if sentences}


def sent_as_it_is(console, page):
    return console.post(page.request["PATH_INFO"], form_of(page))


# --- Fields ---------------------------------------------------------------------------------------
def test_what_was_typed_is_kept_and_saving_again_replaces_the_other_value(console):
    product = make_product(name="Tea", points_price=100)
    page = console.get(page_of(product))
    Product.objects.update(points_price=120)

    refused = console.post(
        page_of(product), {**form_of(page), "name": "Iced tea", "points_price": 90}
    )

    assert told(refused) == {"points_price": [KEPT % "120"]}
    assert (form_of(refused)["name"], form_of(refused)["points_price"]) == (["Iced tea"], ["90"])
    product.refresh_from_db()
    assert (product.name, product.points_price) == ("Tea", 120)

    assert sent_as_it_is(console, refused).status_code == 302
    product.refresh_from_db()
    assert (product.name, product.points_price) == ("Iced tea", 90)


def test_the_message_on_top_names_every_field_that_changed(console):
    wheel = wheel_with_prizes("One", "Two")
    page = console.get(page_of(wheel))
    Wheel.objects.update(cost_points=7, daily_limit=9)
    Prize.objects.filter(name="Two").update(daily_cap=5)

    (message,) = sent_as_it_is(console, page).context["messages"]

    expected = "Changed meanwhile: Cost of a draw, Draws a day; Two (Daily cap)."
    assert str(message).endswith(expected), message


def test_a_field_that_was_left_alone_shows_the_value_of_now(console):
    product = make_product(name="Tea", description="One\nTwo", points_price=100)
    page = console.get(page_of(product))
    moment = timezone.now().replace(microsecond=0)
    Product.objects.update(
        description="Three", is_listed=False, on_sale_from=moment, status="inactive"
    )

    refused = console.post(page_of(product), {**form_of(page), "name": "Iced tea"})

    assert {name: len(sentences) for name, sentences in told(refused).items()} == {
        "description": 1, "is_listed": 1, "on_sale_from": 1, "status": 1,
    }  # fmt: skip
    assert told(refused)["status"] == [TAKEN % "Withdrawn"]
    assert told(refused)["is_listed"] == [TAKEN % "No"]
    assert sent_as_it_is(console, refused).status_code == 302
    product.refresh_from_db()
    assert (product.name, product.description) == ("Iced tea", "Three")
    assert (product.is_listed, product.on_sale_from, product.status) == (False, moment, "inactive")


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_moment_that_was_left_alone_stays_to_the_microsecond(console, language):
    console.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    moment = datetime(2026, 1, 1, 3, 4, 5, 678, tzinfo=UTC)
    product = make_product(name="Tea", on_sale_from=moment)

    sent = {**form_of(console.get(page_of(product))), "name": "Iced tea"}
    assert console.post(page_of(product), sent).status_code == 302

    product.refresh_from_db()
    assert (product.name, product.on_sale_from) == ("Iced tea", moment)


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_another_second_is_another_moment(console, language):
    console.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    before, after = (datetime(2026, 1, 1, 3, 4, second, tzinfo=UTC) for second in (5, 6))
    product = make_product(on_sale_from=before)
    page = console.get(page_of(product))
    Product.objects.update(on_sale_from=after)

    refused = console.post(page_of(product), form_of(page))

    assert refused.status_code == 200
    assert form_of(refused)["on_sale_from_1"] == ["11:04:06"]
    assert sent_as_it_is(console, refused).status_code == 302
    product.refresh_from_db()
    assert product.on_sale_from == after


def test_a_moment_may_be_typed_without_seconds(console):
    console.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-hans"
    product = make_product()
    sent = {"on_sale_from_0": "2026-01-02", "on_sale_from_1": "11:05"}
    page = console.get(page_of(product))
    assert console.post(page_of(product), {**form_of(page), **sent}).status_code == 302
    product.refresh_from_db()
    assert product.on_sale_from == datetime(2026, 1, 2, 3, 5, tzinfo=UTC)


def test_the_same_change_made_twice_is_no_conflict(console):
    product = make_product(points_price=100, market_price="2.50", description="One\nTwo")
    page = console.get(page_of(product))
    Product.objects.update(points_price=120, market_price="3.00", description="Two\nThree")

    sent = {"points_price": "120", "market_price": "3", "description": "Two\r\nThree"}
    assert console.post(page_of(product), {**form_of(page), **sent}).status_code == 302


def test_sales_refuse_nobodys_form(console):
    product = make_product(stock=5)
    page = console.get(page_of(product))
    stock.change_stock(
        product_id=product.pk, quantity=-1, operation=StockOperation.ADMIN_ADJUST, reason="x"
    )

    assert console.post(page_of(product), {**form_of(page), "name": "Tea"}).status_code == 302


def test_what_cannot_be_read_is_kept_beside_what_changed(console):
    product = make_product(points_price=100)
    page = console.get(page_of(product))
    Product.objects.update(points_price=120)

    refused = console.post(page_of(product), {**form_of(page), "points_price": "many"})

    assert len(told(refused)["points_price"]) == 2
    assert form_of(refused)["points_price"] == ["many"]


def test_a_second_change_meanwhile_is_told_again(console):
    product = make_product(points_price=100)
    page = console.get(page_of(product))
    Product.objects.update(points_price=120)
    refused = console.post(page_of(product), {**form_of(page), "points_price": "90"})
    Product.objects.update(points_price=130)

    refused = sent_as_it_is(console, refused)

    assert "to “130”" in told(refused)["points_price"][0]


def test_choices_of_many_are_compared_as_a_whole(console, monkeypatch):
    fieldsets = [(None, {"fields": ["nickname", "user_permissions"]})]
    monkeypatch.setattr(UserAdmin, "fieldsets", fieldsets)
    person = make_person()
    first, second, third = Permission.objects.order_by("pk")[:3]
    person.user_permissions.set([second, first])
    page = console.get(page_of(person))
    assert console.post(page_of(person), form_of(page)).status_code == 302
    person.user_permissions.set([first, third])

    refused = console.post(page_of(person), {**form_of(page), "nickname": "N"})

    assert str(first) in told(refused)["user_permissions"][0]
    assert form_of(refused)["user_permissions"] == [str(first.pk), str(third.pk)]
    assert set(person.user_permissions.all()) == {first, third}


@pytest.mark.parametrize("carried", ["", "forged", "another page's", "another salt"])
def test_a_page_that_does_not_say_what_it_showed_is_refused(console, carried):
    product, other = make_product(points_price=100), make_product()
    sent = form_of(console.get(page_of(product)))
    sent["_shown"] = {
        "another page's": form_of(console.get(page_of(other)))["_shown"][0],
        "another salt": signing.dumps({"row": f"catalog.Product {product.pk}", "digests": {}}),
    }.get(carried, carried)
    if not carried:
        del sent["_shown"]

    refused = console.post(page_of(product), {**sent, "points_price": "90"})

    assert told(refused) == {
        "__all__": ["It cannot be told any more what this page showed."],
        "points_price": [KEPT % "100"],
    }
    product.refresh_from_db()
    assert product.points_price == 100
    assert sent_as_it_is(console, refused).status_code == 302


def test_a_row_that_was_deleted_meanwhile_is_told(console):
    shop = make_shop()
    page = console.get(page_of(shop))
    shop.delete()

    answer = console.post(page_of(Shop(pk=page.context["original"].pk)), form_of(page), follow=True)

    assert answer.status_code == 200
    (message,) = answer.context["messages"]
    assert "doesn’t exist. Perhaps it was deleted?" in str(message)
    assert not Shop.objects.exists()


def test_a_row_that_is_deleted_while_its_form_is_sent_is_told(console, monkeypatch):
    shop = make_shop()
    page = console.get(page_of(shop))

    def delete_before(rows):
        rows.delete()
        return rows

    monkeypatch.setattr(admin_base, "locked", delete_before)
    answer = console.post(page_of(shop), form_of(page), follow=True)

    (message,) = answer.context["messages"]
    assert "Perhaps it was deleted?" in str(message)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_page_without_a_form_may_be_sent_as_well(console):
    """Nothing is held there: it has no transaction."""
    product = make_product()
    history = reverse("admin:catalog_product_history", args=[product.pk])
    assert console.post(history).status_code == 200


# --- Rows below -----------------------------------------------------------------------------------
def wheel_with_prizes(*names):
    wheel = make_draft()
    wheel.prizes.all().delete()
    for number, name in enumerate(names):
        add_prize(wheel, name, number * 45)
    return wheel


def add_prize(wheel, name, angle):
    return Prize.objects.create(
        wheel=wheel, name=name, angle=angle, type="points", value=1, color="#000000", probability=0
    )


def names_of(wheel):
    return list(wheel.prizes.values_list("angle", "name"))


def test_rows_are_compared_by_field_and_by_row(console):
    wheel = wheel_with_prizes("A", "B")
    page = console.get(page_of(wheel))
    wheel.prizes.filter(name="B").update(value=5, color="#FFFFFF")

    sent = {**form_of(page), "prizes-0-name": "A2", "prizes-1-name": "B2", "prizes-1-value": "7"}
    refused = console.post(page_of(wheel), sent)

    assert {name: sentences[0][:26] for name, sentences in told(refused).items()} == {
        "prizes-1-value": "Changed meanwhile to “5.00",
        "prizes-1-color": "Changed meanwhile: “#FFFFF",
    }
    assert names_of(wheel) == [(0, "A"), (45, "B")]
    assert sent_as_it_is(console, refused).status_code == 302
    assert list(wheel.prizes.values_list("name", "value", "color")) == [
        ("A2", 1, "#000000"), ("B2", 7, "#FFFFFF"),
    ]  # fmt: skip


def test_a_row_that_came_meanwhile_is_shown(console):
    wheel = wheel_with_prizes("A", "C")
    page = console.get(page_of(wheel))
    wheel.prizes.filter(name="C").update(angle=90)
    add_prize(wheel, "B", 45)  # between the others

    refused = console.post(page_of(wheel), {**form_of(page), "prizes-1-name": "C2"})

    assert told(refused) == {
        "prizes": ["Added meanwhile and shown now: B."],
        "prizes-2-angle": [TAKEN % "90°"],
    }
    shown = form_of(refused)
    assert [shown[f"prizes-{number}-name"] for number in range(3)] == [["A"], ["B"], ["C2"]]
    (inline,) = refused.context["inline_admin_formsets"]
    assert [row.original and row.original.pk for row in inline][:3] == list(
        wheel.prizes.values_list("pk", flat=True)
    ), "each row is drawn beside its own form"
    assert sent_as_it_is(console, refused).status_code == 302
    assert names_of(wheel) == [(0, "A"), (45, "B"), (90, "C2")]


def test_the_row_above_is_no_conflict_of_a_row_that_came_or_went(console):
    wheel = wheel_with_prizes("A", "B")
    page = console.get(page_of(wheel))
    wheel.prizes.filter(name="B").delete()
    add_prize(wheel, "C", 90)

    refused = console.post(page_of(wheel), {**form_of(page), "organiser": "Here"})

    assert told(refused) == {
        "prizes": ["Added meanwhile and shown now: C.", "Deleted meanwhile: B."]
    }
    assert sent_as_it_is(console, refused).status_code == 302
    assert [name for _angle, name in names_of(wheel)] == ["A", "C"]


def test_of_rows_that_went_meanwhile_what_was_typed_is_kept_as_new(console):
    wheel = wheel_with_prizes("A", "B", "C", "D")
    page = console.get(page_of(wheel))
    wheel.prizes.exclude(name="A").delete()

    sent = {**form_of(page), "prizes-1-name": "B2", "prizes-3-DELETE": "on"}
    refused = console.post(page_of(wheel), sent)

    assert told(refused) == {
        "prizes": [
            "Deleted meanwhile: C.",
            "Deleted meanwhile: B. What you entered is kept: saving again adds it as new.",
        ]
    }
    assert names_of(wheel) == [(0, "A")]
    assert sent_as_it_is(console, refused).status_code == 302
    assert names_of(wheel) == [(0, "A"), (45, "B2")]


def test_a_row_that_both_delete_is_no_conflict(console):
    wheel = wheel_with_prizes("A", "B")
    page = console.get(page_of(wheel))
    wheel.prizes.filter(name="A").delete()

    sent = {**form_of(page), "prizes-0-DELETE": "on", "prizes-1-name": "B2"}
    assert console.post(page_of(wheel), sent).status_code == 302
    assert names_of(wheel) == [(45, "B2")]


def test_a_row_that_changed_is_not_deleted_unseen(console):
    wheel = wheel_with_prizes("A", "B")
    page = console.get(page_of(wheel))
    wheel.prizes.filter(name="A").update(value=5)

    refused = console.post(page_of(wheel), {**form_of(page), "prizes-0-DELETE": "on"})

    assert told(refused)["prizes"] == [
        "Changed meanwhile, though marked to be deleted: A. Saving again deletes them."
    ]
    assert wheel.prizes.count() == 2
    assert sent_as_it_is(console, refused).status_code == 302
    assert names_of(wheel) == [(45, "B")]


def test_rows_that_only_stand_in_another_order_are_no_conflict(console):
    product = make_product()
    first = add_picture(product_id=product.pk, content=make_png((9, 9)))
    second = add_picture(product_id=product.pk, content=make_png((8, 8)))
    page = console.get(page_of(product))
    ProductImage.objects.filter(pk=first.pk).update(position=7)

    sent = {**form_of(page), "images-0-position": "7", "images-1-position": "3"}
    assert console.post(page_of(product), sent).status_code == 302
    assert list(product.images.values_list("pk", "position")) == [(second.pk, 3), (first.pk, 7)]


def test_new_rows_are_kept_with_their_numbers(console):
    wheel = wheel_with_prizes("A")
    page = console.get(page_of(wheel))
    add_prize(wheel, "B", 45)
    new = {"angle": 90, "name": "C", "type": "points", "value": 1, "probability": 0}
    sent = {f"prizes-1-{name}": value for name, value in {**new, "color": "#000000"}.items()}

    refused = console.post(page_of(wheel), {**form_of(page), **sent, "prizes-TOTAL_FORMS": "2"})

    assert told(refused) == {"prizes": ["Added meanwhile and shown now: B."]}
    assert sent_as_it_is(console, refused).status_code == 302
    assert names_of(wheel) == [(0, "A"), (45, "B"), (90, "C")]


# --- Files ----------------------------------------------------------------------------------------
def replace_picture(image):
    content = pictures.read_picture(make_png((7, 7)))
    file, thumbnail = pictures.store_picture(content, name="other.png")
    ProductImage.objects.filter(pk=image.pk).update(file=file, thumbnail=thumbnail)
    return file


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_picture_that_was_replaced_meanwhile_is_told(console, is_sent):
    product = make_product()
    image = add_picture(product_id=product.pk, content=make_png((9, 9)))
    page = console.get(page_of(product))
    other = replace_picture(image)

    mine = SimpleUploadedFile("mine.png", make_png((6, 6)))
    sent = {"images-0-picture": mine} if is_sent else {"images-0-position": "4"}
    refused = console.post(page_of(product), {**form_of(page), **sent})

    said = told(refused)["images-0-picture"]
    assert other.name in said[0]
    assert said[1:] == (["Choose the file again."] if is_sent else [])
    image.refresh_from_db()
    assert (image.file, image.position) == (other, 0)
    assert sent_as_it_is(console, refused).status_code == 302
    image.refresh_from_db()
    assert image.file == other


def test_a_new_picture_beside_a_row_that_came_meanwhile_keeps_its_number(console):
    product = make_product()
    page = console.get(page_of(product))
    add_picture(product_id=product.pk, content=make_png((9, 9)))

    mine = SimpleUploadedFile("mine.png", make_png((6, 6)))
    sent = {"images-TOTAL_FORMS": "1", "images-0-picture": mine, "images-0-position": "4"}
    refused = console.post(page_of(product), {**form_of(page), **sent})

    assert told(refused)["images"] == ["Added meanwhile and shown now: picture 0."]
    assert "images-0-picture" not in told(refused)
    assert told(refused)["images-1-picture"] == ["Choose the file again."]
    assert form_of(refused)["images-1-position"] == ["4"]


@pytest.fixture
def slow_storage(monkeypatch):
    """A storage that writes nothing before it is let go."""

    class SlowStorage(FileSystemStorage):
        is_asked, goes_on = threading.Event(), threading.Event()

        def save(self, *args, **options):
            self.is_asked.set()
            assert self.goes_on.wait(30)
            return super().save(*args, **options)

    storage = SlowStorage()
    monkeypatch.setattr(files, "default_storage", storage)
    yield storage
    storage.goes_on.set()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_product_while_its_pictures_are_stored(console, slow_storage):
    product = make_product(stock=5)
    picture = SimpleUploadedFile("mine.png", make_png((6, 6)))
    new = {"images-TOTAL_FORMS": "1", "images-0-picture": picture, "images-0-position": "4"}
    sent = {**form_of(console.get(page_of(product))), **new}

    def send():
        with closing(connection):
            return console.post(page_of(product), sent).status_code

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send)
        try:
            assert slow_storage.is_asked.wait(30)
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '2s'")
                stock.change_stock(
                    product_id=product.pk,
                    quantity=-1,
                    operation=StockOperation.ADMIN_ADJUST,
                    reason="x",
                )
        finally:
            slow_storage.goes_on.set()
        assert answer.result(30) == 302

    image = product.images.get()
    assert not image.file.is_temporary
    assert not image.thumbnail.is_temporary


def test_pictures_of_a_form_that_is_refused_are_taken_away_again(console):
    product = make_product(points_price=100)
    page = console.get(page_of(product))
    Product.objects.update(points_price=120)

    picture = SimpleUploadedFile("mine.png", make_png((6, 6)))
    new = {"images-TOTAL_FORMS": "1", "images-0-picture": picture, "images-0-position": "4"}
    refused = console.post(page_of(product), {**form_of(page), **new})

    assert "points_price" in told(refused)
    assert not StoredFile.objects.exists()


# --- Passwords ------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_password_that_was_set_meanwhile_is_not_replaced_unseen(console):
    """In no transaction of the test: the page needs one of its own for the row that it holds."""
    person = User.objects.create_superuser("other", "s3cret-s3cret")
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    mine = {"password1": "m1ne-m1ne-m1ne", "password2": "m1ne-m1ne-m1ne"}
    page = console.get(address)
    theirs = User.objects.get(pk=person.pk)
    theirs.set_password("theirs-theirs-1")
    theirs.save()

    refused = console.post(address, {**form_of(page), **mine})

    assert refused.status_code == 200
    assert refused.context["form"].errors == {
        "password1": ["The password was changed meanwhile: saving again replaces it."]
    }
    person.refresh_from_db()
    assert person.check_password("theirs-theirs-1")
    assert console.post(address, {**form_of(refused), **mine}).status_code == 302
    person.refresh_from_db()
    assert person.check_password("m1ne-m1ne-m1ne")


# --- At the same time -----------------------------------------------------------------------------
def send_both(staff, product):
    """Two people send the same page at the same moment, each with a name of their own."""

    def send(sent, name):
        client = Client()
        client.force_login(staff)
        return client.post(page_of(product), {**sent, "name": name}).status_code

    client = Client()
    client.force_login(staff)
    sent = form_of(client.get(page_of(product)))
    return sorted(race([partial(send, sent, name) for name in ("Mine", "Theirs")]))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_same_time_one_is_refused(staff):
    product = make_product(name="Tea")
    assert send_both(staff, product) == [200, 302]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_one_overwrites_the_other(staff, monkeypatch):
    product = make_product(name="Tea")
    together = threading.Barrier(2)
    monkeypatch.setattr(admin_base, "locked", lambda rows: Unlocked(rows, together))
    assert send_both(staff, product) == [302, 302]
