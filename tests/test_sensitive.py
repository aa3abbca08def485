"""Sensitive fields are declared once, and what shows, keeps or logs values goes by that.

Every text of every model is declared in its `sensitive`, or named here as harmless.
"""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import (
    BinaryField,
    CharField,
    GenericIPAddressField,
    JSONField,
    TextField,
)
from django.urls import reverse

from accounts.models import DeviceSession, PointsEntry, RegistrationMark, SignInCode, User
from catalog.models import Order, Product, Shop, ShopRole, VirtualCode
from lottery.models import SeedPair
from ops import sensitive
from ops.models import StoredFile
from ops.sensitive import Kind
from tests.console import console_of
from tests.people import make_cast, make_person
from tests.world import make_world

OURS = ("accounts", "catalog", "favorites", "lottery", "ops", "reviews")
TEXTS = (BinaryField, CharField, GenericIPAddressField, JSONField, TextField)
MODELS = [model for model in apps.get_models() if model._meta.app_label in OURS]

# Whatever a row of these says, anybody may read it who may see the row; its logs as well.
HARMLESS: dict[str, set[str]] = {
    "accounts.AccountMerge": {"key_id"},
    "accounts.CodeCount": {"purpose"},
    "accounts.DeviceSession": {"key_id"},
    "accounts.PointsAdjustment": {"finding", "key_id", "system_user"},
    "accounts.PointsEntry": {"entry_hash", "previous_hash", "related_id", "source"},
    "accounts.RecoveryCode": {"key_id"},
    "accounts.RegistrationMark": {"key_id"},
    "accounts.SignInCode": {"purpose"},
    "accounts.SignInLimit": {"purpose"},
    "accounts.Tier": {"name"},
    "accounts.User": {"points_hash", "status"},
    "catalog.Category": {"name"},
    "catalog.Order": {"kind", "product_name", "related_id", "source", "status"},
    "catalog.Product": {"description", "kind", "name", "status", "stock_hash"},
    "catalog.ProductTemplate": {"description", "kind", "name", "title"},
    "catalog.Selection": {"name", "status", "supplier"},
    "catalog.Shop": {"address", "name"},  # of a business, and public
    "catalog.ShopInvitation": {"role"},
    "catalog.ShopMember": {"role"},
    "catalog.StockEntry": {"entry_hash", "operation", "previous_hash", "reason", "related_id"},
    "catalog.VirtualCode": {"key_id"},
    "lottery.Draw": {"stock_out"},
    "lottery.Prize": {"color", "name", "special_effect", "type"},
    "lottery.SeedPair": {"client_seed_by", "server_seed_hash", "state"},
    "lottery.Wheel": {"name", "organiser", "status"},
    "lottery.WheelVersion": {"name", "organiser", "prizes"},
    "ops.AuditActor": {"head", "system_user"},
    "ops.AuditEntry": {
        "action",
        "after",
        "before",
        "entry_hash",
        "object_id",
        "object_type",
        "previous_hash",
        "reason",
        "request_id",
        "system_user",
    },
    "ops.AlertChannel": {"kind", "name", "shown_address"},
    "ops.AlertNotice": {"error", "kind", "message"},
    "ops.AlertRule": {
        "comparison",
        "labels",
        "metric",
        "name",
        "of_metric",
        "reading",
        "severity",
        "slug",
        "spread",
        "text",
        "title",
    },
    "ops.Alert": {"series"},
    "ops.ChartSample": {"figures", "host"},
    "ops.MetricSample": {"host", "readings"},
    "ops.ChangeMark": {"topic"},
    "ops.Backup": {
        "code_version",
        "compression",
        "engine",
        "identifier",
        "key_id",
        "kind",
        "location",
        "log",
        "migrations",
        "row_counts",
        "server_version",
        "sha256",
        "status",
        "trigger",
    },
    # The sample is made without values: ops.logs.captured.
    "ops.ErrorGroup": {
        "fingerprint",
        "kind",
        "logger",
        "release",
        "request_id",
        "route",
        "sample",
        "state",
        "where",
    },
    "ops.FailedRow": {"error", "job", "row_id"},
    "ops.IdempotencyRecord": {"path"},
    "ops.JobRun": {"did", "error", "job", "outcome", "worker"},
    "ops.LedgerSeal": {
        "changes",
        "entry_hash",
        "key_id",
        "previous_hash",
        "root",
        "signature",
    },
    "ops.LiveSetting": {"key", "value"},
    "ops.Maintenance": {"message"},
    "ops.MigrationRun": {"log", "plan", "status"},
    "ops.Schedule": {"claimed_by", "job", "last_outcome", "timing"},
    "ops.ServingProcess": {"name"},
    "ops.OperationalEvent": {"facts", "host", "kind"},
    "ops.ProcessBeat": {"host", "kind", "name", "version"},
    "ops.StoredFile": {"media_type", "path", "purpose", "sha256", "storage"},
    "reviews.ProcessRecord": {"error", "kind", "model_name", "settings", "status"},
    "reviews.Receipt": {
        "difference_hash",
        "paid_as",
        "read_as",
        "receipt_number",
        "review_reason",
        "risk_reasons",
        "sha256",
        "status",
    },
}


def texts_of(model):
    """The names of the fields of a model that hold text of whatever kind."""
    return {field.name for field in model._meta.concrete_fields if isinstance(field, TEXTS)}


# --- The list itself ------------------------------------------------------------------------------
@pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])
def test_every_text_is_declared_as_sensitive_or_named_as_harmless(model):
    harmless = HARMLESS.get(model._meta.label, set())
    declared = set(sensitive.of(model))
    assert texts_of(model) - declared - harmless == set(), "declare them, or name them above"
    assert harmless - texts_of(model) == set(), "named as harmless, and not there"
    assert declared & harmless == set()


@pytest.mark.parametrize("model", MODELS, ids=[model._meta.label for model in MODELS])
def test_what_is_declared_is_a_field(model):
    assert set(sensitive.of(model)) <= {field.name for field in model._meta.concrete_fields}


def test_no_model_is_named_as_harmless_that_is_not_there():
    assert set(HARMLESS) <= {model._meta.label for model in MODELS}


def test_a_model_of_others_declares_nothing():
    assert sensitive.of(apps.get_model("auth.Group")) == {}


def test_a_field_is_sensitive_as_its_model_says():
    names = ("phone", "nickname", "password", "status", "no such field")
    declared = [name for name in names if sensitive.is_sensitive(User, name)]
    assert declared == ["phone", "nickname", "password"]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (User, "phone"),
        (User, "phone__startswith"),
        (User, "^phone"),
        (User, "=phone"),
        (User, "@phone"),
        (PointsEntry, "user__phone"),
        (PointsEntry, "user__nickname__icontains"),
        (Order, "draw__seed_pair__client_seed"),
        (User, "sessions__device_info__model"),
        (User, "orders__exchange_code"),
    ],
)
def test_a_path_leads_to_a_sensitive_field(model, path):
    assert sensitive.path_is_sensitive(model, path)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (User, "status"),
        (User, "pk"),
        (User, "total_points__gte"),
        (User, "orders"),
        (PointsEntry, "user"),
        (PointsEntry, "user__status"),
        (Shop, "address"),
        (Shop, "members__person__total_points"),
        (Product, "name__icontains"),
        (Product, "no_such_field__phone"),
        (User, ""),
    ],
)
def test_a_path_leads_to_nothing_sensitive(model, path):
    assert not sensitive.path_is_sensitive(model, path)


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label)
def test_what_is_sensitive_is_searched_by_its_whole_value_and_with_a_right_for_it(model):
    """By parts of it somebody would spell out what the page does not show."""
    page: Any = admin.site._registry[model]
    open_to_all = {
        path
        for path in page.search_fields
        if sensitive.path_is_sensitive(model, path)
        and not (path.startswith("=") and path in page.search_permissions)
    }
    # What people call themselves stands on every page that is about them.
    shown = {path for path in open_to_all if path.split("__")[-1] == "nickname"}
    shown |= {
        name
        for name in [*page.list_display, *(page.fields or ())]
        if sensitive.of(model).get(name) is Kind.PERSONAL
    }
    assert open_to_all - shown == set()
    assert set(page.search_permissions) <= set(page.search_fields), "or the line does nothing"


# --- What may be kept of a value ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("13800138001", "138****8001"),
        ("+8613800138001", "+86****8001"),
        ("91234567", "****67"),
        ("110", "****"),
        ("", "****"),
    ],
)
def test_of_a_phone_its_ends_are_shown_and_four_digits_at_least_are_not(phone, shown):
    assert sensitive.masked(phone) == shown


def test_people_and_codes_show_their_phones_alike():
    assert User(phone="13800138001").masked_phone == "138****8001"
    assert str(SignInCode(phone="13800138001")).startswith("138****8001 ")


@pytest.mark.parametrize(
    ("model", "name", "value", "kept"),
    [
        (User, "phone", "13800138001", "138****8001"),
        (User, "phone", None, None),
        (User, "nickname", "", ""),
        (User, "status", "banned", "banned"),
        (User, "total_points", 5, 5),
        (Shop, "name", "Shop", "Shop"),
        (Shop, "address", None, None),
    ],
)
def test_what_is_told_of_a_value(model, name, value, kept):
    assert sensitive.told(model, name, value) == kept


@pytest.mark.parametrize(
    ("model", "name", "value", "other"),
    [
        (User, "nickname", "Li", "Wang"),
        (User, "wechat_openid", "o-1", "o-2"),
        (DeviceSession, "device_info", {"a": 1, "b": 2}, {"a": 1, "b": 3}),
    ],
)
def test_of_what_is_personal_or_secret_a_hash_tells_that_it_changed(
    model, name, value, other, settings
):
    told = sensitive.told(model, name, value)
    assert len(told) == 13
    assert told == sensitive.told(model, name, value)
    assert told != sensitive.told(model, name, other)
    settings.SECRET_KEY = "another"
    assert told != sensitive.told(model, name, value), "nobody makes it without the key"


def test_the_same_value_in_another_field_has_another_hash():
    fields = [(User, "nickname"), (User, "username"), (StoredFile, "name")]
    assert len({sensitive.told(model, name, "Li") for model, name in fields}) == 3


def test_equal_json_has_one_hash_in_whatever_order_a_database_gives_it():
    told = [
        sensitive.told(DeviceSession, "device_info", value)
        for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    ]
    assert told[0] == told[1]


# --- The console ----------------------------------------------------------------------------------
PAGES = sorted(
    admin.site._registry,
    key=lambda model: model._meta.label,
)


def all_values(kind):
    """Every value of a kind that any row of any model has, with where it stands."""
    for model in MODELS:
        for name, declared in sensitive.of(model).items():
            if declared is kind:
                filled = model._base_manager.exclude(**{name: None}).values_list(name, flat=True)
                yield from ((f"{model._meta.label}.{name}", value) for value in filled if value)


@pytest.fixture
def world():
    customer = make_world()
    User.objects.filter(pk=customer.pk).update(
        nickname="",  # called by the masked phone
        wechat_openid="openid-of-the-customer",
        wechat_unionid="unionid-of-the-customer",
    )
    person = User.objects.get(pk=customer.pk)
    person.set_password("s3cret-s3cret")
    person.save()
    return person


@pytest.fixture
def console(client):
    client.force_login(User.objects.create_superuser("root", "s3cret-s3cret"))
    return client


@pytest.mark.django_db
def test_the_world_has_a_value_of_every_field_that_the_console_must_not_show(world):
    guarded = {
        f"{model._meta.label}.{name}"
        for model in MODELS
        for name, kind in sensitive.of(model).items()
        if kind is not Kind.PERSONAL
    }
    found = {where for kind in (Kind.SECRET, Kind.MASKED) for where, _value in all_values(kind)}
    assert guarded - found == set(), "give the world a row with it"


def pages_of(model, console):
    """What the list of a model and the pages of its newest rows say; of people, of everybody's.

    What the person may not see is left out.
    """
    address = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    rows = model._default_manager.order_by("-pk").values_list("pk", flat=True)
    assert rows, f"no row of {model._meta.label}: add one to `make_world`"
    addresses = [
        reverse(f"{address}_changelist"),
        *(reverse(f"{address}_change", args=[pk]) for pk in rows[: None if model is User else 3]),
    ]
    for where in addresses:
        page = console.get(where)
        assert page.status_code in {200, 302, 403, 404}, where
        if page.status_code == 200:
            yield page.content.decode()


@pytest.fixture
def lookers(world):
    """Those who look at the console, by what they are called here; each has a password."""
    cast = make_cast()
    lookers = {
        "superuser": User.objects.create_superuser("root", "s3cret-s3cret"),
        "other superuser": User.objects.create_superuser("other root", "s3cret-s3cret"),
        "platform staff": cast.staff,
        "auditor": cast.auditor,
        "owner": Shop.objects.earliest("pk").members.get(role=ShopRole.OWNER).person,
        "owner of a new shop": cast.owner,
    }
    for person in lookers.values():
        person.set_password("s3cret-s3cret")
        person.save()
    return lookers


LOOKERS = {
    # How many models each of them sees the rows of, at least: a walk past closed doors shows none.
    "superuser": len(PAGES),
    "platform staff": 15,
    "auditor": 15,
    "owner": 8,
    "owner of a new shop": 3,
}


@pytest.mark.django_db
@pytest.mark.parametrize("who", LOOKERS)
def test_no_page_shows_anybody_a_secret_or_a_whole_phone(lookers, who):
    console = console_of(lookers[who])
    guarded = [*all_values(Kind.SECRET), *all_values(Kind.MASKED)]
    pages = {model: list(pages_of(model, console)) for model in PAGES}
    # The list is one page, each row another one.
    assert sum(len(texts) > 1 for texts in pages.values()) >= LOOKERS[who]
    shown = {
        f"{where} on the pages of {model._meta.label}"
        for model, texts in pages.items()
        for page in texts
        for where, value in guarded
        if str(value) in page
    }
    assert shown == set()


@pytest.mark.django_db
def test_a_person_is_chosen_by_name_and_masked_phone(world, console):
    """What a form asks for while somebody types shows no more than the pages."""
    nameless = make_person(nickname="", username=None)
    answer = console.get(
        reverse("admin:autocomplete"),
        {
            "term": nameless.phone,
            "app_label": "catalog",
            "model_name": "shopmember",
            "field_name": "person",
        },
    )
    (found,) = answer.json()["results"]
    assert found["text"] == nameless.masked_phone


def test_rows_are_called_by_nothing_that_opens_anything():
    assert str(RegistrationMark(key_hash="a" * 64)) != "a" * 64
    assert "b" * 64 not in str(VirtualCode(product_id=1, code_hash="b" * 64))
    assert "secret" not in str(SeedPair(server_seed_hash="c" * 64, server_seed_encrypted="secret"))
