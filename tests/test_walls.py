"""The walls between shops: every page of the console, as everybody who might open it.

The table below is written by hand and is the second opinion to `config/roles.py`: it says of every
model who sees a row of a shop, and what each may do with it. A model, an action or an address of
the console that it does not name fails.
"""

import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.forms import ModelChoiceField
from django.test import RequestFactory
from django.urls import URLResolver, get_resolver, reverse

from accounts.models import User
from accounts.services import console_devices
from ops.access import Role
from tests.console import console_of, contents, form_of
from tests.people import make_person
from tests.two_shops import HERE, THERE, make_two_shops

pytestmark = pytest.mark.django_db

# Who might open a page. The first two have no business in the console.
ACTORS = (
    "stranger", "customer", "cashier", "reviewer", "manager", "owner", "other_owner", "staff",
    "auditor", "superuser",
)  # fmt: skip
NO_BUSINESS = ("stranger", "customer")
AT_THE_SHOP = ("cashier", "reviewer", "manager", "owner")
EVERYWHERE = ("staff", "auditor", "superuser")

# --- The table ------------------------------------------------------------------------------------
READ = "staff auditor superuser"
WRITE = "staff superuser"
MANAGERS_READ = f"manager owner {READ}"
MANAGERS_WRITE = f"manager owner {WRITE}"
DELETE = "delete_selected"


@dataclass(frozen=True, kw_only=True)
class Own:
    """An address that a page has beside the usual ones; `fields` is what its form is sent with."""

    by: str
    opens: str = ""  # to whom as well, whose service refuses what they send
    fields: Mapping[str, str]  # with what stands in the row filled in
    starts: Mapping[str, str] = field(default_factory=dict)  # what the row is before
    name: str = ""  # of the address, where it is not made of the page's
    row: str = ""  # with which it is tried, where it is not the page's
    of_row: bool = True  # whether the id of a row stands in the address
    shows: bool = True  # whether it has a page, or takes what is sent alone


@dataclass(frozen=True, kw_only=True)
class Page:
    """Who may do what with a row of a shop, and with one of no shop (`common`).

    For a row of a shop `owner` and the like are those of that shop. Of a common one everybody in
    the console is named, the other shop's owner as well. An action that needs more than a tick has
    its fields in `asks`, and in `starts` what the row is before, so that there is something to do.
    """

    sees: str = ""
    adds: str = ""
    changes: str = ""
    deletes: str = ""
    actions: Mapping[str, str] = field(default_factory=dict)
    asks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    starts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    edit: Mapping[str, str] = field(default_factory=dict)  # a change of the form, to be tried
    own: Mapping[str, Own] = field(default_factory=dict)
    common: "Page | None" = None


def of_platform(**more: Any) -> Page:
    """A page whose rows are no shop's."""
    return Page(common=Page(sees=READ, **more))


def edited(by: str, *, sees: str, edit: Mapping[str, str], **more: Any) -> Page:
    """A page where all who may write may do all of it."""
    actions = {DELETE: by}
    return Page(sees=sees, adds=by, changes=by, deletes=by, actions=actions, edit=edit, **more)


RUNNING = {"pause": {"status": "active"}}
ALL_SHOPS = f"manager owner other_owner {READ}"

PAGES: dict[str, Page] = {
    # One's own are everybody's to see and to end: tests/test_climbing.py.
    "accounts.ConsoleDevice": of_platform(actions={"end": WRITE}),
    "accounts.DeviceSession": of_platform(actions={"revoke": WRITE}),
    "accounts.PointsEntry": of_platform(),
    "accounts.RegistrationMark": of_platform(),
    "accounts.SignInCode": of_platform(),
    "accounts.Tier": Page(common=edited(WRITE, sees=ALL_SHOPS, edit={"name": "Renamed"})),
    # A shop knows whoever has a receipt or an order there. Of the others it knows nothing.
    "accounts.User": Page(
        sees=MANAGERS_READ,
        adds=WRITE,
        changes=WRITE,
        actions={"activate": WRITE, "deactivate": WRITE, "ban": WRITE},
        edit={"nickname": "Renamed"},
        own={
            "choose_platform_role": Own(by="superuser", fields={"role": Role.AUDITOR}),
            "grant_premium": Own(by=WRITE, fields={"until": "2999-01-01", "reason": "A regular"}),
            "end_premium": Own(
                by=WRITE, fields={"reason": "Moved away"}, starts={"premium_until": "2999-01-01"}
            ),
            "merge_another": Own(
                by=WRITE,
                name="accounts_user_merge_another",
                fields={
                    "other": "13900139000",  # of a person in `_rows_of_the_platform`
                    "reason": "One person",
                    "confirmed": "on",
                    "merge": "yes",
                },
            ),
            "reset_second_factor": Own(by=WRITE, fields={"reason": "Lost phone"}),
            "password": Own(
                by=WRITE,
                name="auth_user_password_change",
                fields={"password1": "s3cret-s3cret", "password2": "s3cret-s3cret"},
            ),
        },
        common=Page(
            sees=READ,
            changes=WRITE,
            actions={"activate": WRITE, "deactivate": WRITE, "ban": WRITE},
            edit={"nickname": "Renamed"},
        ),
    ),
    "catalog.Category": Page(common=edited(WRITE, sees=ALL_SHOPS, edit={"name": "Renamed"})),
    "catalog.Order": Page(
        sees=f"cashier {MANAGERS_READ}",
        actions={"cancel": MANAGERS_WRITE},
        own={
            "redeem": Own(
                by="cashier manager owner",
                opens=WRITE,  # who work at no counter
                fields={"exchange_code": "{row.exchange_code}", "hand_over": "1"},
                of_row=False,
            )
        },
    ),
    "catalog.Product": edited(
        MANAGERS_WRITE,
        sees=MANAGERS_READ,
        edit={"name": "Renamed"},
        own={
            "change_stock": Own(
                by=MANAGERS_WRITE,
                fields={"quantity": "5", "operation": "restock", "reason": "came"},
            ),
            "add_codes": Own(
                by=MANAGERS_WRITE, fields={"codes": "A-1\nA-2"}, row="a virtual product"
            ),
        },
    ),
    "catalog.ProductTemplate": edited(
        MANAGERS_WRITE,
        sees=MANAGERS_READ,
        edit={"title": "Renamed"},
        common=Page(
            sees=ALL_SHOPS,
            changes=WRITE,
            deletes=WRITE,
            actions={DELETE: WRITE},
            edit={"title": "Renamed"},
        ),
    ),
    "catalog.Selection": edited(MANAGERS_WRITE, sees=MANAGERS_READ, edit={"name": "Renamed"}),
    "catalog.Shop": Page(
        sees=f"cashier reviewer {MANAGERS_READ}",
        adds=WRITE,
        changes=MANAGERS_WRITE,
        edit={"name": "Renamed"},
    ),
    # Its phone is of somebody who may have no account: for those alone who invite.
    "catalog.ShopInvitation": Page(
        sees=f"owner {READ}",
        adds=f"owner {WRITE}",
        deletes=f"owner {WRITE}",
        actions={DELETE: f"owner {WRITE}"},
    ),
    "catalog.ShopMember": Page(
        sees=MANAGERS_READ,
        changes=f"owner {WRITE}",
        deletes=f"owner {WRITE}",
        actions={DELETE: f"owner {WRITE}"},
        edit={"role": "reviewer"},
    ),
    "catalog.StockEntry": Page(sees=MANAGERS_READ),
    "catalog.VirtualCode": Page(sees=MANAGERS_READ),
    "favorites.Favorite": of_platform(),
    "lottery.Draw": Page(sees=MANAGERS_READ),
    "lottery.PityCounter": of_platform(),
    "lottery.Prize": Page(sees=MANAGERS_READ),
    "lottery.SeedPair": of_platform(),
    "lottery.Wheel": Page(
        sees=MANAGERS_READ,
        adds=MANAGERS_WRITE,
        changes=MANAGERS_WRITE,
        actions={
            "publish": MANAGERS_WRITE,
            "make_default": WRITE,
            "activate": MANAGERS_WRITE,
            "pause": MANAGERS_WRITE,
            "deactivate": MANAGERS_WRITE,
        },
        starts=RUNNING,
        edit={"name": "Renamed"},
        common=Page(
            sees=READ,
            changes=WRITE,
            actions={
                "publish": WRITE,
                "make_default": WRITE,
                "activate": WRITE,
                "pause": WRITE,
                "deactivate": WRITE,
            },
            starts=RUNNING,
            edit={"name": "Renamed"},
        ),
    ),
    "lottery.WheelVersion": Page(sees=MANAGERS_READ),
    "ops.Alert": of_platform(),
    "ops.AlertChannel": Page(
        common=Page(
            sees=READ,
            adds=WRITE,
            changes=WRITE,
            deletes=WRITE,
            actions={DELETE: WRITE, "send_a_test": WRITE},
            edit={"name": "Renamed"},
        )
    ),
    "ops.AlertNotice": of_platform(),
    "ops.AlertRule": Page(common=edited(WRITE, sees=READ, edit={"name": "Renamed"})),
    "ops.AuditEntry": Page(sees=f"owner {READ}", common=Page(sees=READ)),
    "ops.Backup": of_platform(),
    "ops.ErrorGroup": of_platform(actions={"say_done": WRITE}),
    "ops.FailedRow": of_platform(actions={"try_again": WRITE}),
    "ops.IdempotencyRecord": of_platform(),
    "ops.JobRun": of_platform(),
    "ops.LedgerSeal": of_platform(),
    "ops.LiveSetting": of_platform(),
    "ops.MigrationRun": of_platform(),
    "ops.ProcessBeat": of_platform(),
    "ops.Schedule": of_platform(actions={"run_now": WRITE}),
    "ops.OperationalEvent": of_platform(),
    "ops.StoredFile": of_platform(),
    "reviews.ProcessRecord": Page(sees=MANAGERS_READ),
    "reviews.Receipt": Page(
        sees=f"reviewer {MANAGERS_READ}",
        actions={"approve": f"reviewer {MANAGERS_WRITE}", "reject": f"reviewer {MANAGERS_WRITE}"},
        asks={"reject": {"reason": "Not ours"}},
        own={
            "decide": Own(
                by=f"reviewer {MANAGERS_WRITE}",
                fields={"action": "approve", "points": "1000"},
                shows=False,
            )
        },
    ),
}

# The addresses of no model, and why they need no line above.
OF_NO_MODEL = {
    "index": "what the person may open, by the pages above",
    "app_list": "the same for one app",
    "search": "names of pages, by the pages above",
    "login": "the way in",
    "logout": "the way out",
    "password_change": "one's own password, for whoever knows the old one",
    "password_change_done": "says that it was changed",
    "second_step": "the second half of the way in: config/tests/test_second_step.py",
    "second_factor": "one's own second factor: config/tests/test_second_factor_pages.py",
    "second_factor_set_up": "the same",
    "second_factor_offer": "the same",
    "second_factor_codes": "the same",
    "second_factor_remove": "the same",
    "fresh_factor": "asks who somebody is: config/tests/test_fresh_factor.py",
    "autocomplete": "asks the page of the model: tried with each of them",
    "jsi18n": "texts of scripts",
    "view_on_site": "no row has a page outside of the console: tests/test_climbing.py",
    "catalog_shopmember_mine": "one's own affairs: catalog/tests/test_invitations.py",
    "ops_processbeat_status": "shows and changes nothing: ops/tests/test_status_page.py",
    "ops_processbeat_maintenance": "of the one row: ops/tests/test_maintenance_page.py",
    "ops_processbeat_diagnosis": "shows and changes nothing: ops/tests/test_diagnosis_page.py",
    "ops_livesetting_set": "of a setting that may have no row: ops/tests/test_settings_page.py",
    "admin/(?P<url>.*)$": "whatever is no address",
}
USUAL = ("changelist", "add", "history", "delete", "change")
NO_ROW = "admin/{app}/{model}/<path:object_id>/"  # leads on to `change`


# --- Who asks for what ----------------------------------------------------------------------------
@pytest.fixture
def world():
    return make_two_shops()


@pytest.fixture
def consoles(world, monkeypatch):
    """A browser for each actor, in which time passes without a trace.

    Its device notes once a minute that it is in use; on a slow machine that would be taken for
    what the request wrote.
    """
    monkeypatch.setattr(console_devices, "ACTIVITY_MOVES_AFTER", timedelta(days=1))
    people = {
        "stranger": None,
        "superuser": make_superuser(),
        **{name: getattr(world.cast, name) for name in ACTORS[1:-1]},
    }
    return {name: console_of(people[name]) for name in ACTORS}


def make_superuser():
    return make_person(nickname="root", username="root", is_staff=True, is_superuser=True)


@dataclass(frozen=True, slots=True)
class Tried:
    """A row that is tried, and what stands in the table about it."""

    model: Any
    page: Page
    row: Any
    where: str

    def address(self, kind, *args):
        options = self.model._meta
        return reverse(f"admin:{options.app_label}_{options.model_name}_{kind}", args=args)

    def allowed(self, names):
        """Who may, of the names of a line: the members named in it are those of the row's shop."""
        may = set(names.split())
        if self.where == "there":
            at_the_shop = may & set(AT_THE_SHOP)
            may = may - at_the_shop | ({"other_owner"} if "owner" in at_the_shop else set())
        return may


def tries(world, label):
    """The rows of a model: at the shop, at the other one, and at no shop."""
    model = MODELS[label]
    page = PAGES[label]
    for where, rows in (("here", world.here), ("there", world.there), ("common", world.common)):
        line = page.common if where == "common" else page
        if label in rows:
            assert line is not None, f"{label} has rows of no shop: give its line a `common=`"
            yield Tried(model, line, rows[label], where)


MODELS = {model._meta.label: model for model in admin.site._registry}
WRITTEN = re.compile(r'^(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')
NOT_COUNTED = ("django_session",)


@contextmanager
def undone(console):
    """What is tried in this browser is taken back; gives the tables into which it wrote."""
    tables = []
    cookies = console.cookies.copy()  # a session that is begun anew goes back as well

    def note(execute, sql, *rest):
        if (found := WRITTEN.match(sql)) and found[1] not in NOT_COUNTED:
            tables.append(found[1])
        return execute(sql, *rest)

    around: Any = transaction.atomic()
    around._from_testcase = True  # what a request begins in it stands for a transaction of its own
    with around, connection.execute_wrapper(note):
        yield tables
        transaction.set_rollback(True)
    console.cookies = cookies


def heard(response):
    """What a person is told by an answer: its status, where it leads, and the last message."""
    said = [str(message) for message in get_messages(response.wsgi_request)]
    response.client.cookies.pop("messages", None)
    return response.status_code, response.get("Location", ""), said[-1:]


def missing_id(row):
    """The id of a row that is not there."""
    match row.pk:
        case UUID():
            return uuid4()
        case _:
            return 987_654_321


def without(pk, told):
    status, location, said = told
    return status, location.replace(str(pk), "#"), [line.replace(str(pk), "#") for line in said]


class Outcomes(list):
    """What went otherwise than the table says."""

    def note(self, actor, what, *, went, may):
        if went and not may:
            self.append(f"{actor} may, and must not: {what}")
        if may and not went:
            self.append(f"{actor} may not, and should: {what}")


# --- Completeness ---------------------------------------------------------------------------------
def test_every_model_of_the_console_has_its_line():
    missing, gone = set(MODELS) - set(PAGES), set(PAGES) - set(MODELS)
    assert not missing, f"add a line for each to PAGES, and rows to tests/two_shops.py: {missing}"
    assert not gone, f"take out of PAGES: {gone}"


def test_every_model_of_the_console_has_its_rows(world):
    for label, page in PAGES.items():
        if page.sees:
            assert label in world.here, f"add a row of {label} to `_rows_at` in tests/two_shops.py"
            assert label in world.there, label
        if page.common:
            assert label in world.common, f"add one to `_rows_of_the_platform`: {label}"


def test_every_action_of_the_console_has_its_line():
    """`own` for the addresses of the theme's actions, `actions` for those of a list."""
    for label, page in PAGES.items():
        there: Any = admin.site._registry[MODELS[label]]
        named = {name for line in (page, page.common) if line for name in line.actions}
        actions = {action.name for action in there._get_base_actions()}
        may_delete = any(line.deletes for line in (page, page.common) if line)
        actions -= set() if may_delete else {DELETE}
        assert actions == named, f"name in the line of {label} in PAGES: `actions=`"


def test_every_action_of_the_console_names_a_right_of_its_own():
    """Looking, and changing what a form changes, are no right to act."""
    for label, model in MODELS.items():
        page: Any = admin.site._registry[model]
        for action in page._get_base_actions():
            rights = set(getattr(action.func, "allowed_permissions", ()))
            assert rights, f"{label}: {action.name} asks for no right"
            assert not rights & {"view", "change", "add"}, f"{label}: {action.name}"
        for action in (
            *page._get_base_actions_detail(),
            *page._get_base_actions_list(),
            *page._get_base_actions_row(),
            *page._get_base_actions_submit_line(),
        ):
            rights = set(getattr(action.method, "allowed_permissions", ()))
            assert rights, f"{label}: {action.action_name} asks for no right"
            assert not rights & {"view", "change", "add"}, f"{label}: {action.action_name}"


def addresses_of_the_console():
    (console,) = (
        one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == "admin"
    )

    def walk(resolver, prefix):
        for one in resolver.url_patterns:
            route = f"{prefix}{one.pattern}"
            if isinstance(one, URLResolver):
                yield from walk(one, route)
            else:
                yield one.name or route

    return list(walk(console, str(console.pattern)))


def test_every_address_of_the_console_has_its_line():
    known = set(OF_NO_MODEL)
    for label, page in PAGES.items():
        options = MODELS[label]._meta
        names = {"app": options.app_label, "model": options.model_name}
        known.add(NO_ROW.format(**names))
        known.update("{app}_{model}_{kind}".format(kind=kind, **names) for kind in USUAL)
        known.update(
            own.name or "{app}_{model}_{kind}".format(kind=kind, **names)
            for kind, own in page.own.items()
        )
    there = set(addresses_of_the_console())
    assert not there - known, (
        "an address without a line: name it in `own=` of its page in PAGES, who may and what its "
        f"form is sent with; or, if it belongs to no model, in OF_NO_MODEL: {there - known}"
    )
    assert not known - there, f"no address any more: {known - there}"


# --- Looking --------------------------------------------------------------------------------------
every_page = pytest.mark.parametrize("label", sorted(PAGES))


@every_page
def test_who_sees_a_row(label, world, consoles):
    """By its own address, its history, its list, a search, autocompletion."""
    outcomes = Outcomes()
    before = contents()
    found = list(tries(world, label))
    for actor, console in consoles.items():
        for kind in ("change", "history", "delete"):
            for one in found:
                look(actor, console, one, kind, outcomes)
        look_at_list(actor, console, found, outcomes)
        complete(actor, console, found, outcomes)
    assert outcomes == []
    assert contents() == before


def look(actor, console, one, kind, outcomes):
    what = f"{one.where} {kind}"
    answer = console.get(one.address(kind, one.row.pk))
    may = actor in one.allowed(one.page.deletes if kind == "delete" else one.page.sees)
    outcomes.note(actor, what, went=answer.status_code == 200, may=may)
    if answer.status_code == 200:
        tells_of_no_other_shop(actor, answer)
    elif actor not in one.allowed(one.page.sees):
        nothing = missing_id(one.row)
        nowhere = console.get(one.address(kind, nothing))
        if actor != "stranger":  # who is sent to sign in, and back to where they wanted to go
            assert without(one.row.pk, heard(answer)) == without(nothing, heard(nowhere)), (
                f"{actor} learns that a row is there: {what}"
            )
        assert nowhere.content == answer.content or answer.status_code == 302


def tells_of_no_other_shop(actor, answer):
    """A page names nothing that lies at the other shop, neither in words nor in its choices."""
    text = answer.content.decode()
    other = THERE if actor in AT_THE_SHOP else HERE if actor == "other_owner" else None
    if other is None:
        return
    assert other not in text, f"{actor} reads of the other shop at {answer.request['PATH_INFO']}"
    for one in fields_of(answer):
        if isinstance(one, ModelChoiceField) and not one.widget.is_hidden:
            choices: Any = one.queryset
            assert not [row for row in choices if other in str(row)], f"{actor}: {one.label}"


def fields_of(answer):
    if not answer.context or "adminform" not in answer.context:
        return
    yield from answer.context["adminform"].form.fields.values()
    for inline in answer.context["inline_admin_formsets"]:
        yield from inline.formset.empty_form.fields.values()


def look_at_list(actor, console, found, outcomes):
    model = found[0].model
    list_of = found[0].address("changelist")
    page = console.get(list_of)
    shown = rows_in(page)
    for one in found:
        what = f"{one.where} list"
        may = actor in one.allowed(one.page.sees)
        outcomes.note(actor, what, went=str(one.row.pk) in shown, may=may)
    if page.status_code == 200:
        tells_of_no_other_shop(actor, page)
    there: Any = admin.site._registry[model]
    fields = there.get_search_fields(superusers_request())
    for one in found if fields else ():
        what = f"{one.where} search"
        name = fields[0].lstrip("=^@").replace("pk", "id")
        (term,) = model._base_manager.filter(pk=one.row.pk).values_list(name, flat=True)
        answer = console.get(list_of, {"q": str(term)})
        hits = str(one.row.pk) in rows_in(answer)
        may = actor in one.allowed(one.page.sees)
        # What is sensitive finds nothing without a right of its own: tests/test_climbing.py.
        if may and not hits and "phone" in name:
            continue
        outcomes.note(actor, what, went=hits, may=may)


@cache
def superusers_request():
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True)
    return request


def rows_in(page):
    """The ids of what a list shows."""
    if not page.context or "cl" not in page.context:
        return set()
    return {str(row.pk) for row in page.context["cl"].result_list}


def complete(actor, console, found, outcomes):
    """Autocompletion as every field might ask that points to the model."""
    model = found[0].model
    there = admin.site._registry[model]
    if not there.get_search_fields(superusers_request()):
        return
    for relation in model._meta.related_objects:
        asking = relation.related_model._meta
        answer = console.get(
            reverse("admin:autocomplete"),
            {
                "app_label": asking.app_label,
                "model_name": asking.model_name,
                "field_name": relation.field.name,
            },
        )
        offered = answer.json()["results"] if answer.status_code == 200 else []
        ids = {each["id"] for each in offered}
        for one in found:
            what = f"{one.where} autocompletion for {asking.model_name}.{relation.field.name}"
            may = actor in one.allowed(one.page.sees)
            outcomes.note(actor, what, went=str(one.row.pk) in ids, may=may)


# --- Changing -------------------------------------------------------------------------------------
@every_page
def test_who_changes_a_row(label, world, consoles):
    """By its form, its deletion, the actions of its list, and the addresses of its own."""
    outcomes = Outcomes()
    before = contents()
    for one in tries(world, label):
        for actor, console in consoles.items():
            change(actor, console, one, consoles["superuser"], outcomes)
            delete(actor, console, one, outcomes)
            act(actor, console, one, outcomes)
    assert outcomes == []
    assert contents() == before


def change(actor, console, one, superuser, outcomes):
    address = one.address("change", one.row.pk)
    may = actor in one.allowed(one.page.changes)
    # Whoever may not sends what the page of somebody shows who may do everything.
    form = form_of((console if may else superuser).get(address))
    with undone(console) as tables:
        answer = console.post(address, {**form, **(one.page.edit or {"name": "Renamed"})})
    note_write(actor, f"{one.where} change", answer, tables, may, outcomes)


def delete(actor, console, one, outcomes):
    with undone(console) as tables:
        answer = console.post(one.address("delete", one.row.pk), {"post": "yes"})
    may = actor in one.allowed(one.page.deletes)
    note_write(actor, f"{one.where} delete", answer, tables, may, outcomes)


def act(actor, console, one, outcomes):
    for name, names in one.page.actions.items():
        may = actor in one.allowed(names)
        sent = {
            "action": name,
            "_selected_action": [one.row.pk],
            "post": "yes",
            **one.page.asks.get(name, {}),
        }
        with undone(console) as tables:
            if start := one.page.starts.get(name):
                one.model._base_manager.filter(pk=one.row.pk).update(**start)
                tables.clear()
            answer = console.post(one.address("changelist"), sent)
        note_write(actor, f"{one.where} {name}", answer, tables, may, outcomes)
        if not may:
            # “All of them” are those within reach: the row must not be among them.
            with undone(console):
                row = one.row
                rows = type(row)._base_manager.filter(pk=row.pk)
                was = list(rows.values())
                console.post(one.address("changelist"), {**sent, "select_across": "1"})
                assert list(rows.values()) == was, f"{actor} {name} on all: {one.where}"


def note_write(actor, what, answer, tables, may, outcomes):
    assert answer.status_code in {200, 302, 403, 404}, (actor, what, answer.status_code)
    outcomes.note(actor, what, went=bool(tables), may=may)
    answer.client.cookies.pop("messages", None)


@every_page
def test_who_may_add_a_row(label, world, consoles):
    page = PAGES[label]
    adds = page.adds or (page.common.adds if page.common else "")
    outcomes = Outcomes()
    options = MODELS[label]._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_add")
    before = contents()
    for actor, console in consoles.items():
        answer = console.get(address)
        named = "owner" if actor == "other_owner" else actor
        outcomes.note(actor, "add", went=answer.status_code == 200, may=named in adds.split())
        if answer.status_code == 200:
            tells_of_no_other_shop(actor, answer)
        else:
            console.post(address, {"name": "New", "title": "New", "nickname": "New"})
    assert outcomes == []
    assert contents() == before


OWN = [(label, kind) for label, page in PAGES.items() for kind in page.own]


@pytest.mark.parametrize(("label", "kind"), OWN)
def test_who_may_use_an_address_of_its_own(label, kind, world, consoles):
    own = PAGES[label].own[kind]
    options = MODELS[label]._meta
    name = own.name or f"{options.app_label}_{options.model_name}_{kind}"
    outcomes = Outcomes()
    before = contents()
    for where, rows in (("here", world.here), ("there", world.there)):
        one = Tried(MODELS[label], PAGES[label], rows[own.row or label], where)
        address = reverse(f"admin:{name}", args=[one.row.pk] if own.of_row else [])
        form = form_of(consoles["superuser"].get(address))
        sent = {key: value.format(row=one.row) for key, value in own.fields.items()}
        for actor, console in consoles.items():
            may = actor in one.allowed(own.by)
            answer = console.get(address)
            if own.shows and own.of_row:
                outcomes.note(actor, f"{where} {kind}", went=answer.status_code == 200, may=may)
            if own.of_row and actor not in one.allowed(one.page.sees):
                nowhere = reverse(f"admin:{name}", args=[missing_id(one.row)])
                assert console.get(nowhere).status_code == answer.status_code, actor
            with undone(console) as tables:
                if own.starts:
                    one.model._base_manager.filter(pk=one.row.pk).update(**own.starts)
                    tables.clear()
                answer = console.post(address, {**form, **sent})
            note_write(actor, f"{where} {kind} sent", answer, tables, may, outcomes)
        if not own.of_row:
            for actor, console in consoles.items():
                named = "owner" if actor == "other_owner" else actor
                went = console.get(address).status_code == 200
                outcomes.note(actor, kind, went=went, may=named in f"{own.by} {own.opens}".split())
    assert outcomes == []
    assert contents() == before


# --- The rest of the console ----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["index", "search", "password_change", "jsi18n", "autocomplete"])
def test_whoever_has_no_business_there_is_sent_to_sign_in(name, consoles):
    for actor, console in consoles.items():
        answer = console.get(reverse(f"admin:{name}"))
        is_sent_away = answer.get("Location", "").startswith(reverse("admin:login"))
        assert is_sent_away is (actor in NO_BUSINESS), f"{actor}: {name}"
