"""Forms of the console beside services and other people: what was written meanwhile stays.

Every page that `admin.site` knows is walked, so that a new one is covered without a line here; a
model of which `make_world` has no row fails, until they have one.
"""

import getpass
import re
from contextlib import contextmanager, suppress
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import DateTimeField, IntegerField
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User, UserStatus
from accounts.services import sign_in
from catalog.models import Product, Selection, Shop, ShopMember
from catalog.services.orders import exchange
from lottery.models import Prize, Wheel
from ops.admin_base import BookingForm, EditAdmin, ReadOnlyAdmin
from ops.models import AlertRule
from ops.service_columns import ServiceColumns
from tests.console import form_of
from tests.world import make_world

pytestmark = pytest.mark.django_db
PAGES = sorted(admin.site._registry, key=lambda model: model._meta.label)
UPDATE = re.compile(r'UPDATE "(?P<table>\w+)" SET (?P<columns>.*?) WHERE', re.DOTALL)


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def console(client, settings):
    person = User.objects.create_superuser("root", "s3cret-s3cret")
    client.force_login(person)
    return client


def values_of(row):
    """What is stored of a row, without when that was."""
    (values,) = type(row)._base_manager.filter(pk=row.pk).values()
    return {name: value for name, value in values.items() if name != "updated_at"}


def page_of(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def columns_written(queries):
    """The columns that UPDATEs set, by table."""
    written: dict[str, set[str]] = {}
    for query in queries:
        for match in UPDATE.finditer(query["sql"]):
            columns = set(re.findall(r'"(\w+)" = ', match["columns"]))
            written.setdefault(match["table"], set()).update(columns)
    return written


def service_columns():
    """The columns that services own, by table."""
    return {
        model._meta.db_table: {
            field.column
            for field in model._meta.concrete_fields
            if field.name in model.service_columns
        }
        for model in apps.get_models()
        if issubclass(model, ServiceColumns)
    }


@pytest.mark.parametrize("model", PAGES, ids=[model._meta.label for model in PAGES])
def test_no_page_writes_back_what_services_own(model, world, console):
    row = model._default_manager.order_by("pk").first()
    assert row is not None, f"no row of {model._meta.label}: add one to `make_world`"
    page = console.get(page_of(row))
    assert page.status_code == 200
    before = values_of(row)

    with CaptureQueriesContext(connection) as queries:
        answer = console.post(page_of(row), form_of(page))

    may_change = admin.site._registry[model].has_change_permission(page.wsgi_request, row)
    errors = answer.context["errors"] if answer.context and "errors" in answer.context else ""
    assert answer.status_code == (302 if may_change else 403), errors
    assert values_of(row) == before, "a form sent back as it was changes nothing"
    owned = service_columns()
    for table, columns in columns_written(queries).items():
        assert not columns & owned.get(table, set()), table


# --- A form that was open meanwhile ---------------------------------------------------------------
EDITED = [
    model
    for model, page in admin.site._registry.items()
    if type(page).has_change_permission is not ReadOnlyAdmin.has_change_permission
]


def rows_of(page):
    """The form of a page and those of the rows below it, which all have a row already."""
    yield page.context["adminform"].form
    for inline in page.context["inline_admin_formsets"]:
        yield from inline.formset.initial_forms


def filled_by_people(form):
    """The fields of a form that a person fills, and the columns behind them."""
    stands_for = getattr(form, "stands_for", {})
    for name, field in form.fields.items():
        if not (field.disabled or form[name].is_hidden or name == "DELETE"):
            yield (
                name,
                form.instance._meta.get_field(stands_for.get(name, name)),
            )


def other_values(field, value):
    """Values that a column might have had instead, the likelier ones first."""
    if field.is_relation:
        others = field.related_model._base_manager.exclude(pk=value).order_by("pk")
        nothing = [None] if field.null and value is not None else []
        return [*others.values_list("pk", flat=True), *nothing]
    if field.choices:
        return [key for key, _label in field.flatchoices if key != value]
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1]
        case Decimal():
            return [value + 1, value + Decimal("0.01")]
        case datetime():
            return [value + timedelta(days=1)]
        case time():
            return [value.replace(minute=value.minute ^ 1)]
        case dict():
            return [{**value, "another": "1"}]
    match field:
        case DateTimeField():
            return [timezone.now()]
        case IntegerField():
            return [1]
        case _:
            old = value or ""
            return [old + "1", old[:-1] + "0", old[:-1] + "1"]


def change_one(forms, name, column):
    """Let one of these rows have another value; returns it, and how it becomes as it was."""
    for form in forms:
        if column.many_to_many:
            linked = getattr(form.instance, column.name)
            before = list(linked.all())
            linked.set(column.related_model._base_manager.exclude(pk__in=linked.values("pk"))[:1])
            return form, partial(linked.set, before)
        rows = type(form.instance)._base_manager.filter(pk=form.instance.pk)
        before = getattr(form.instance, column.attname)
        for other in other_values(column, before):
            with suppress(DatabaseError), transaction.atomic():
                rows.update(**{column.attname: other})
                return form, partial(rows.update, **{column.attname: before})
    raise AssertionError(f"no other value of {column} found: help `other_values`")


def told_as_stale(page):
    """The fields that a refused page marks as changed meanwhile."""
    return {
        form[name].html_name
        for form in rows_of(page)
        for name, errors in form.errors.items()
        if "Changed meanwhile" in str(errors)
    }


def contents(model):
    """All that is stored in the table of a model and of the rows below it."""
    page = admin.site._registry[model]
    tables = [model, *(inline.model for inline in page.inlines)]
    return {
        table: [values_of(row) for row in table._base_manager.order_by("pk")] for table in tables
    }


@pytest.mark.parametrize("model", EDITED, ids=[model._meta.label for model in EDITED])
def test_every_field_of_every_page_tells_that_it_changed_meanwhile(model, world, console):
    console.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    if model is AlertRule:
        AlertRule.objects.exclude(slug="").delete()  # what is read of some hangs on another field
    row = model._default_manager.order_by("pk").first()
    if model is Wheel:
        row.prizes.filter(quantity=3).delete()  # so that another prize can take its place
    Shop.objects.create(name="Another")  # where a form chooses one
    before = contents(model)
    page = console.get(page_of(row))
    by_class: dict[type, list] = {}
    for form in rows_of(page):
        by_class.setdefault(type(form.instance), []).append(form)
    assert {type(form.instance) for form in rows_of(page)} == set(before), "a row of each is needed"

    for forms in by_class.values():
        for name, column in filled_by_people(forms[0]):
            form, change_meanwhile = change_one(forms, name, column)
            shown = form_of(console.get(page_of(row)))
            change_meanwhile()

            refused = console.post(page_of(row), shown)

            assert refused.status_code == 200, name
            assert told_as_stale(refused) == {form[name].html_name}
            assert contents(model) == before, name

            # What the person had left alone is the value of now: saving again undoes nothing.
            assert console.post(page_of(row), form_of(refused)).status_code == 302, name
            assert contents(model) == before, name


def test_every_page_with_a_form_refuses_a_stale_one():
    """A page of the console is to look at, or it builds on `EditAdmin`."""
    pages = admin.site._registry
    assert [model for model in EDITED if not isinstance(pages[model], EditAdmin)] == []
    # Forms in lists carry nothing yet of what they showed: see `EditAdmin` before one is made.
    assert [page for page in pages.values() if page.list_editable] == []


@pytest.mark.parametrize("model", EDITED, ids=[model._meta.label for model in EDITED])
def test_a_page_for_a_new_row_shows_no_dates(model, console):
    address = f"admin:{model._meta.app_label}_{model._meta.model_name}_add"
    page = console.get(reverse(address))
    if model is ShopMember:  # nobody is made a member: people are invited, and join by themselves
        assert page.status_code == 403
        return
    assert page.status_code == 200
    assert "DatabaseDefault" not in page.content.decode()
    shown = {name for fieldset in page.context["adminform"] for name in fieldset.fields}
    assert not shown & {"created_at", "updated_at"}


def test_every_dialog_books_once():
    pages: Any = admin.site._registry.values()
    dialogs = {
        action.action_name: action.dialog["form_class"]
        for page in pages
        for action in (
            *page._get_base_actions_detail(),
            *page._get_base_actions_list(),
            *page._get_base_actions_row(),
            *page._get_base_actions_submit_line(),
        )
        if action.dialog
    }
    assert dialogs
    assert {name: form for name, form in dialogs.items() if not issubclass(form, BookingForm)} == {}


# --- What services own ----------------------------------------------------------------------------
def test_what_no_form_shows_is_declared_as_the_services():
    """A column that is not editable is a service's, or it never changes."""
    unchanging = {"created_at", "updated_at"}  # the second by every UPDATE
    forgotten = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        if issubclass(model, ServiceColumns)
        for field in model._meta.concrete_fields
        if not field.editable and not field.primary_key and not field.generated
        if field.name not in unchanging and field.name not in model.service_columns
    }
    assert forgotten == set()


# --- What was lost before ------------------------------------------------------------------------
@contextmanager
def between_reading_and_saving(model, happen):
    """Let something happen when a form has read its row and is about to save it."""
    left = [happen]

    def before(**_signal):
        if left:
            left.pop()()

    pre_save.connect(before, sender=model)
    try:
        yield
    finally:
        pre_save.disconnect(before, sender=model)
    assert not left, "nothing was saved"


def spend(person):
    """Take some points away, in the one way that leaves a cause."""
    product = Product.objects.filter(kind="physical").order_by("pk")[0]
    exchange(person_id=person.pk, product_id=product.pk, quantity=1)
    person.refresh_from_db()


def test_a_sale_beside_an_open_form_stays_sold(world, console):
    product = Product.objects.filter(kind="physical").order_by("pk")[0]
    before = product.stock, product.stock_version, product.sales_count
    form = {**form_of(console.get(page_of(product))), "name": "Renamed"}

    def sell():
        exchange(person_id=world.pk, product_id=product.pk, quantity=2)

    with between_reading_and_saving(Product, sell):
        console.post(page_of(product), form)

    product.refresh_from_db()
    stock, version, sold = before
    assert product.name == "Renamed"
    assert (product.stock, product.stock_version, product.sales_count) == (
        stock - 2,
        version + 1,
        sold + 2,
    )
    exchange(person_id=world.pk, product_id=product.pk, quantity=1)
    call_command("check_integrity")


def test_points_beside_an_open_form_stay(world, console):
    form = {**form_of(console.get(page_of(world))), "nickname": "Renamed"}

    with between_reading_and_saving(User, lambda: spend(world)):
        console.post(page_of(world), form)

    stored = User.objects.get(pk=world.pk)
    assert stored.nickname == "Renamed"
    assert (stored.total_points, stored.points_version) == (
        world.total_points,
        world.points_version,
    )
    spend(stored)
    call_command("check_integrity")


def test_a_prize_given_beside_an_open_form_stays_given(world, console):
    prize = Prize.objects.filter(quantity=3).get()
    form = form_of(console.get(page_of(prize.wheel)))
    (number,) = (
        name.split("-")[1] for name in form if form[name] == [prize.name] and "prizes" in name
    )

    def give_it():
        Prize.objects.filter(pk=prize.pk).update(given=1)

    with between_reading_and_saving(Prize, give_it):
        console.post(page_of(prize.wheel), {**form, f"prizes-{number}-name": "Renamed"})

    prize.refresh_from_db()
    assert (prize.name, prize.given) == ("Renamed", 1)


def test_a_ban_beside_an_open_form_stays(world, console):
    form = {**form_of(console.get(page_of(world))), "nickname": "Renamed"}

    def ban():
        sign_in.change_status(person=world, status=UserStatus.BANNED)

    with between_reading_and_saving(User, ban):
        console.post(page_of(world), form)

    stored = User.objects.get(pk=world.pk)
    assert (stored.nickname, stored.status) == ("Renamed", UserStatus.BANNED)


def test_a_new_password_beside_a_sale_costs_nobody_points(world, console):
    stale = User.objects.get(pk=world.pk)
    spend(world)

    stale.set_password("s3cret-s3cret")
    stale.save()

    stored = User.objects.get(pk=world.pk)
    assert stored.check_password("s3cret-s3cret")
    assert (stored.total_points, stored.points_version) == (
        world.total_points,
        world.points_version,
    )
    call_command("check_integrity")


def revoke(person):
    User.objects.filter(pk=person.pk).update(is_superuser=False, is_staff=False, nickname="Gone")


def assert_password_alone_was_saved(person, password):
    before = values_of(person)
    assert (before["is_superuser"], before["is_staff"], before["nickname"]) == (
        False,
        False,
        "Gone",
    )
    person.refresh_from_db()
    assert person.check_password(password)


def test_a_password_from_the_command_line_restores_no_rights(monkeypatch):
    person = User.objects.create_superuser("root", "s3cret-s3cret")

    def type_it(prompt):
        revoke(person)  # while the command waits for the password
        return "an0ther-s3cret"

    monkeypatch.setattr(getpass, "getpass", type_it)
    call_command("changepassword", "root", stdout=StringIO())

    assert_password_alone_was_saved(person, "an0ther-s3cret")


def test_ones_own_new_password_restores_no_rights(console):
    person = User.objects.get(username="root")
    new = {"new_password1": "an0ther-s3cret", "new_password2": "an0ther-s3cret"}

    with between_reading_and_saving(User, lambda: revoke(person)):
        answer = console.post(
            reverse("admin:password_change"), {"old_password": "s3cret-s3cret", **new}
        )

    assert answer.status_code == 302
    assert_password_alone_was_saved(person, "an0ther-s3cret")


def test_a_person_who_is_new_is_saved_whole():
    person = User(username="new", nickname="New", is_staff=True)
    person.set_password("s3cret-s3cret")
    person.save()
    stored = User.objects.get(username="new")
    assert (stored.nickname, stored.is_staff) == ("New", True)
    person.nickname = "Newer"
    person.save()
    stored.refresh_from_db()
    assert stored.nickname == "Newer", "the password is saved once"


def test_a_row_that_is_gone_is_not_saved_as_a_new_one(world):
    product = Selection.objects.get()
    Selection.objects.filter(pk=product.pk).delete()
    with pytest.raises(Selection.NotUpdated):
        product.save()
