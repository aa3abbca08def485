"""Before something dangerous the console asks again who somebody is, and nothing typed is lost."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.urls import reverse

from accounts.console_session import FACTOR_AT_KEY, FRESH_FOR
from accounts.models import LimitPurpose, SignInLimit, User, UserStatus
from accounts.services import second_factors
from accounts.tests.factories import enrol
from catalog.models import ShopMember
from config.console_fresh_factor import ANEW, ANSWER, DANGEROUS
from ops.admin.maintenance import MaintenanceForm
from ops.models import AlertChannel, LiveSetting, Maintenance
from tests.clock import hold_clock
from tests.console import console_of, form_of, refused_unchanged
from tests.people import make_person
from tests.two_shops import make_two_shops

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"
QUESTION = "/admin/fresh-factor/"
MAINTENANCE = "/admin/ops/processbeat/maintenance/"
BIT = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture(autouse=True)
def english(settings):
    settings.LANGUAGE_CODE = "en"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    return hold_clock(monkeypatch)


@pytest.fixture
def root():
    return User.objects.create_superuser("root", PASSWORD)


@pytest.fixture
def console(root):
    """A browser in which a superuser signed in just now."""
    return console_of(root)


@pytest.fixture
def stale(console, clock):
    """The same, eleven minutes later."""
    clock.go(FRESH_FOR + BIT)
    return console


def question_for(address):
    return f"{QUESTION}?next={address.replace('/', '%2F')}"


def is_asked(answer):
    return answer.status_code == 200 and answer.template_name in {
        "admin/accounts/fresh_factor.html",
        "admin/accounts/fresh_factor_dialog.html",
    }


def switch_on(console, **more):
    return console.post(
        MAINTENANCE, {"on": "yes", "message": "Two\nlines <b>&", "minutes": "", **more}
    )


# --- The list -------------------------------------------------------------------------------------
def rows_of(world):
    """The row whose page it is, by the name of its address."""
    return {
        "accounts_user": world.common["accounts.User"].pk,
        "auth_user": world.common["accounts.User"].pk,
        "catalog_shopmember": world.here["catalog.ShopMember"].pk,
        "ops_alertchannel": world.common["ops.AlertChannel"].pk,
        "ops_livesetting": "points.register_bonus",
    }


def address_of(name, world):
    args = [
        pk
        for beginning, pk in rows_of(world).items()
        if name.startswith(beginning) and not name.endswith(("_add", "_changelist"))
    ]
    return reverse(f"admin:{name}", args=args)


@pytest.mark.parametrize("name", DANGEROUS)
def test_each_of_them_asks_before_it_does_anything(name, clock):
    world = make_two_shops()
    console = console_of(make_person(username="root", is_superuser=True))
    address, dangerous = address_of(name, world), DANGEROUS[name]
    sent = {"action": min(dangerous.actions, default="")}
    clock.go(FRESH_FOR + BIT)
    with refused_unchanged():
        opened, posted = console.get(address), console.post(address, sent)
    is_sent_to_the_question = opened.get("Location", "").startswith(QUESTION)
    assert is_sent_to_the_question is dangerous.is_asked(opened.wsgi_request)
    assert is_asked(posted)
    again = console_of(User.objects.get(username="root"))
    assert not again.get(address).get("Location", "").startswith(QUESTION)


def test_the_names_of_actions_are_those_of_their_pages():
    pages = {
        f"{model._meta.app_label}_{model._meta.model_name}_changelist": page
        for model, page in admin.site._registry.items()
    }
    for name, dangerous in DANGEROUS.items():
        for action in dangerous.actions:
            assert action == "delete_selected" or action in (pages[name].actions or ())


@pytest.mark.parametrize(
    "needed",
    [
        "accounts_user_choose_platform_role", "accounts_user_change", "catalog_shopinvitation_add",
        "accounts_user_merge_another", "accounts_user_changelist", "accounts_user_grant_premium",
        "accounts_user_end_premium", "lottery_wheel_changelist",
        "catalog_shopmember_change", "ops_processbeat_maintenance", "auth_user_password_change",
        "accounts_user_reset_second_factor", "second_factor_set_up", "second_factor_remove",
        "second_factor_codes", "password_change", "ops_alertchannel_change",
        "ops_alertchannel_add", "ops_livesetting_set",
    ],
)  # fmt: skip
def test_what_has_to_be_on_the_list(needed):
    assert needed in DANGEROUS


OF_GOODS = "shops do it all day; it is in the trail and is undone by the same form"
OF_WATCHING = "it changes what is told of, nothing that people have"
OF_SIGN_INS = "it takes a sign-in away and gives none"
READ = "it changes nothing"
OF_A_COUNTER = "shops do it all day, one order or receipt at a time, and it is in the trail"
OF_A_JOB = "it does now what is done anyhow"
# Every other page with a form, and every other action of a list, with the reason why it never asks.
HARMLESS = {
    # Around the pages
    "view_on_site": READ, "search": READ, "index": READ, "autocomplete": READ, "jsi18n": READ,
    "app_list": READ, "password_change_done": READ,
    "login": "it is where people prove who they are", "second_step": "the same",
    "fresh_factor": "it is the question itself", "logout": OF_SIGN_INS,
    "second_factor": READ, "second_factor_offer": "it puts off being asked",
    # People
    "accounts_consoledevice_changelist end": OF_SIGN_INS,
    "accounts_devicesession_changelist revoke": OF_SIGN_INS,
    "accounts_tier_add": OF_GOODS, "accounts_tier_change": OF_GOODS,
    "accounts_tier_delete": OF_GOODS, "accounts_tier_changelist delete_selected": OF_GOODS,
    # The platform
    "ops_alertchannel_changelist send_a_test": "it sends words of ours where alerts go already",
    "ops_alertrule_add": OF_WATCHING, "ops_alertrule_change": OF_WATCHING,
    "ops_alertrule_delete": OF_WATCHING, "ops_alertrule_changelist delete_selected": OF_WATCHING,
    "ops_errorgroup_changelist say_done": OF_WATCHING,
    "ops_failedrow_changelist try_again": OF_A_JOB, "ops_schedule_changelist run_now": OF_A_JOB,
    "ops_processbeat_status": READ, "ops_processbeat_diagnosis": READ,
    # Shops
    "catalog_category_add": OF_GOODS, "catalog_category_change": OF_GOODS,
    "catalog_category_delete": OF_GOODS, "catalog_category_changelist delete_selected": OF_GOODS,
    "catalog_producttemplate_add": OF_GOODS, "catalog_producttemplate_change": OF_GOODS,
    "catalog_producttemplate_delete": OF_GOODS,
    "catalog_producttemplate_changelist delete_selected": OF_GOODS,
    "catalog_product_add": OF_GOODS, "catalog_product_change": OF_GOODS,
    "catalog_product_delete": OF_GOODS, "catalog_product_changelist delete_selected": OF_GOODS,
    "catalog_product_change_stock": OF_GOODS, "catalog_product_add_codes": OF_GOODS,
    "catalog_selection_add": OF_GOODS, "catalog_selection_change": OF_GOODS,
    "catalog_selection_delete": OF_GOODS, "catalog_selection_changelist delete_selected": OF_GOODS,
    "catalog_shop_add": OF_GOODS, "catalog_shop_change": OF_GOODS,
    "catalog_shopinvitation_delete": "it takes a promise back and gives no rights",
    "catalog_shopinvitation_changelist delete_selected": "the same",
    "catalog_shopmember_mine": "one's own answer to an invitation, which was asked for when made",
    "catalog_order_redeem": OF_A_COUNTER, "catalog_order_changelist cancel": OF_A_COUNTER,
    "reviews_receipt_decide": OF_A_COUNTER, "reviews_receipt_changelist approve": OF_A_COUNTER,
    "reviews_receipt_changelist reject": OF_A_COUNTER,
    # Wheels
    "lottery_wheel_add": "a draft, until it is published",
    "lottery_wheel_change": "a draft, until it is published",
    "lottery_wheel_changelist activate": "a wheel that was published before",
    "lottery_wheel_changelist make_default": "a wheel that was published before",
    "lottery_wheel_changelist pause": "it takes a wheel away for now",
    "lottery_wheel_changelist deactivate": "it takes a wheel away for now",
}  # fmt: skip


def named_addresses(patterns):
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from named_addresses(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def deeds_of_the_console(request):
    """Every page that is no plain list or history, and every action of a list: `page action`."""
    of_models, deeds = set(), set()
    for model, page in admin.site._registry.items():
        base = f"{model._meta.app_label}_{model._meta.model_name}"
        of_models |= {f"{base}_{kind}" for kind in ("changelist", "history")}
        for kind in ("add", "change", "delete"):
            of_models.add(f"{base}_{kind}")
            if getattr(page, f"has_{kind}_permission")(request):
                deeds.add(f"{base}_{kind}")
        deeds |= {f"{base}_changelist {action}" for action in page.get_actions(request)}
    return deeds | (set(named_addresses(admin.site.get_urls())) - of_models)


def asks(deed):
    page, _space, action = deed.partition(" ")
    dangerous = DANGEROUS.get(page)
    return dangerous is not None and (not action or action in dangerous.actions)


def test_every_page_and_action_asks_or_is_harmless_for_a_reason(rf, root):
    request = rf.get("/admin/")
    request.user = root
    deeds = deeds_of_the_console(request)
    assert {deed for deed in deeds if not asks(deed)} == set(HARMLESS)
    assert all(HARMLESS.values())


@pytest.mark.parametrize("action", ["activate", "deactivate", "ban"])
def test_whom_the_platform_lets_in_is_decided_after_the_answer(stale, action):
    status = UserStatus.BANNED if action == "activate" else UserStatus.ACTIVE
    person = make_person(status=status)
    people = "/admin/accounts/user/"
    with refused_unchanged():
        page = stale.post(people, {"_selected_action": [person.pk], "action": action})
    assert is_asked(page)
    stale.post(people, {**form_of(page), ANSWER: PASSWORD})
    assert User.objects.get(pk=person.pk).status != status


# --- When -----------------------------------------------------------------------------------------
def test_ten_minutes_after_the_sign_in_nobody_is_asked_and_after_that_they_are(console, clock):
    clock.go(FRESH_FOR)
    assert console.get("/admin/accounts/user/add/").status_code == 200
    clock.go(BIT)
    page = "/admin/accounts/user/add/"
    assert console.get(page)["Location"] == question_for(page)


def test_a_session_that_says_nothing_of_it_or_of_the_future_is_asked(console, clock):
    for said in (None, clock.now.timestamp() + 60):
        session = console.session
        session[FACTOR_AT_KEY] = said
        session.save()
        assert is_asked(switch_on(console))


def test_looking_at_what_may_be_changed_asks_nothing(stale, root):
    person = make_person()
    for page in (
        MAINTENANCE,
        f"/admin/accounts/user/{person.pk}/change/",
        "/admin/ops/livesetting/",
        "/admin/ops/alertchannel/",
    ):
        assert stale.get(page).status_code == 200


def test_other_actions_of_a_list_ask_nothing(stale):
    channel = AlertChannel.objects.create(name="c", kind="webhook")
    sent = {"_selected_action": [channel.pk], "action": "send_a_test"}
    assert stale.post("/admin/ops/alertchannel/", sent).status_code == 302


def test_deleting_from_a_list_asks(stale):
    channel = AlertChannel.objects.create(name="c", kind="webhook")
    sent = {"_selected_action": [channel.pk], "action": "delete_selected", "post": "yes"}
    page = stale.post("/admin/ops/alertchannel/", sent)
    assert is_asked(page)
    assert AlertChannel.objects.exists()
    stale.post("/admin/ops/alertchannel/", {**form_of(page), ANSWER: PASSWORD})
    assert not AlertChannel.objects.exists()


@pytest.mark.parametrize(
    ("actions", "index"),
    [
        (["delete_selected", "send_a_test"], "0"),
        (["send_a_test", "delete_selected"], "1"),
        (["delete_selected", ""], "0"),
        (["send_a_test", "delete_selected", "send_a_test"], "1"),
    ],
)
def test_an_action_that_is_sent_beside_others_asks_as_well(stale, actions, index):
    """A list has its actions above the rows and below: Django runs the one that `index` names."""
    channel = AlertChannel.objects.create(name="c", kind="webhook")
    sent = {"_selected_action": [channel.pk], "action": actions, "index": index, "post": "yes"}
    page = stale.post("/admin/ops/alertchannel/", sent)
    assert is_asked(page)
    assert AlertChannel.objects.exists()
    stale.post("/admin/ops/alertchannel/", {**form_of(page), ANSWER: PASSWORD})
    assert not AlertChannel.objects.exists()


# --- Before a page is opened ----------------------------------------------------------------------
def test_the_question_leads_back_to_the_page(stale, clock):
    page = "/admin/accounts/user/add/?a=b"
    asked = stale.get(page, follow=True)
    assert is_asked(asked)
    answer = stale.post(asked.redirect_chain[-1][0], {ANSWER: PASSWORD})
    assert answer["Location"] == page
    assert stale.get(page).status_code == 200
    clock.go(FRESH_FOR)
    assert stale.get(page).status_code == 200
    clock.go(BIT)
    assert stale.get(page).status_code == 302


def test_who_is_fresh_already_is_led_on(console):
    assert console.get(question_for(MAINTENANCE))["Location"] == MAINTENANCE


@pytest.mark.parametrize("foreign", ["https://evil.example/", "//evil.example", "javascript:a", ""])
def test_it_leads_to_no_foreign_address(stale, foreign):
    answer = stale.post(f"{QUESTION}?next={foreign}", {ANSWER: PASSWORD})
    assert answer["Location"] == "/admin/"


def test_a_dialog_sends_its_page_to_the_question(stale):
    person = make_person()
    page = f"http://testserver/admin/accounts/user/{person.pk}/change/"
    headers = {"HX-Request": "true", "HX-Current-URL": page}
    dialog = f"/admin/accounts/user/{person.pk}/choose_platform_role/"
    answer = stale.get(dialog, headers=headers)
    assert answer["HX-Redirect"].startswith(f"{QUESTION}?next=http%3A%2F%2Ftestserver%2Fadmin")
    headers["HX-Current-URL"] = "https://evil.example/"
    assert stale.get(dialog, headers=headers)["HX-Redirect"] == question_for("/admin/")


# --- When something is sent -----------------------------------------------------------------------
def test_what_was_typed_is_kept_and_sent_with_the_answer(stale):
    page = switch_on(stale)
    assert is_asked(page)
    assert not Maintenance.objects.filter(is_on=True).exists()
    assert "Nothing was changed yet." in page.content.decode()
    answer = stale.post(MAINTENANCE, {**form_of(page), ANSWER: PASSWORD})
    assert answer.status_code == 302
    row = Maintenance.objects.get(is_on=True)
    assert row.message.split() == ["Two", "lines", "<b>&"]


def test_fields_with_many_values_are_kept_whole(stale):
    page = stale.post(MAINTENANCE, {"on": "yes", "many": ["1", "2", "2"]})
    assert form_of(page)["many"] == ["1", "2", "2"]
    assert page.context["carried"].count(("many", "2")) == 2


def test_no_browser_keeps_the_question(stale):
    for page in (switch_on(stale), stale.get(question_for(MAINTENANCE))):
        assert is_asked(page)
        assert "no-store" in page["Cache-Control"]


def test_a_password_is_not_written_into_the_page_and_asked_for_again(stale):
    add = "/admin/accounts/user/add/"
    typed = {"username": "cook", "password1": "n3w-s3cret-s3cret", "password2": "n3w-s3cret-s3cret"}
    page = stale.post(add, typed)
    for _wrong in range(2):
        assert is_asked(page)
        assert "n3w-s3cret" not in page.content.decode()
        assert "you enter them again" in page.content.decode()
        assert page.context["carried"] == [(ANEW, "1")]
        page = stale.post(add, {**form_of(page), ANSWER: "wr0ng-wr0ng"})
    assert stale.post(add, {**form_of(page), ANSWER: PASSWORD})["Location"] == add
    assert not User.objects.filter(username="cook").exists()
    assert stale.get(add).status_code == 200
    stale.post(add, typed)
    assert User.objects.filter(username="cook").exists()


def test_the_secret_in_the_address_of_a_channel_is_not_written_into_the_page(stale):
    channel = AlertChannel.objects.create(name="c", kind="webhook")
    address = f"/admin/ops/alertchannel/{channel.pk}/change/"
    shown = form_of(stale.get(address))
    page = stale.post(address, {**shown, "new_address": "https://hooks.example/s3cret"})
    assert is_asked(page)
    assert "hooks.example" not in page.content.decode()
    assert stale.post(address, {**form_of(page), ANSWER: PASSWORD})["Location"] == address


def test_without_a_new_secret_what_was_typed_is_kept(stale):
    channel = AlertChannel.objects.create(name="c", kind="webhook")
    address = f"/admin/ops/alertchannel/{channel.pk}/change/"
    page = stale.post(address, {**form_of(stale.get(address)), "new_address": "", "name": "d"})
    assert form_of(page)["name"] == ["d"]


def test_a_wrong_answer_changes_nothing_and_keeps_what_was_typed(stale):
    page = switch_on(stale)
    page = stale.post(MAINTENANCE, {**form_of(page), ANSWER: "wr0ng-wr0ng"})
    assert is_asked(page)
    assert "The name or the password is wrong." in page.content.decode()
    assert "wr0ng-wr0ng" not in page.content.decode()
    assert form_of(page)["message"] == ["Two\nlines <b>&"]
    assert not Maintenance.objects.filter(is_on=True).exists()
    stale.post(MAINTENANCE, {**form_of(page), ANSWER: PASSWORD})
    assert Maintenance.objects.filter(is_on=True).exists()


def test_wrong_answers_are_counted_as_passwords_are(stale):
    for _number in range(5):
        assert is_asked(switch_on(stale, **{ANSWER: "wr0ng-wr0ng"}))
    page = switch_on(stale, **{ANSWER: PASSWORD})
    assert "Please wait 5 seconds." in page.content.decode()
    assert not Maintenance.objects.filter(is_on=True).exists()
    assert SignInLimit.objects.get().purpose == LimitPurpose.DEVICE


def test_the_page_that_goes_on_does_not_see_the_answer(stale, monkeypatch):
    seen = []
    init = MaintenanceForm.__init__

    def note(form, data=None, **more):
        seen.append(data)
        init(form, data, **more)

    monkeypatch.setattr(MaintenanceForm, "__init__", note)
    switch_on(stale, **{ANSWER: PASSWORD})
    assert ANSWER not in seen[0]
    assert seen[0]["on"] == "yes"


def test_a_setting_is_set_after_the_answer(stale):
    address = reverse("admin:ops_livesetting_set", args=["points.register_bonus"])
    shown = form_of(stale.get("/admin/ops/livesetting/points.register_5Fbonus/change/"))
    page = stale.post(address, {**shown, "value": "7", "reason": "r"})
    assert is_asked(page)
    assert not LiveSetting.objects.exists()
    stale.post(address, {**form_of(page), ANSWER: PASSWORD})
    assert LiveSetting.objects.get().value == 7


def test_a_role_of_a_member_is_changed_after_the_answer(root, clock):
    world = make_two_shops()
    console = console_of(root)
    clock.go(FRESH_FOR + BIT)
    member = world.here["catalog.ShopMember"]
    address = f"/admin/catalog/shopmember/{member.pk}/change/"
    page = console.post(address, {**form_of(console.get(address)), "role": "reviewer"})
    assert is_asked(page)
    assert ShopMember.objects.get(pk=member.pk).role == "cashier"
    console.post(address, {**form_of(page), ANSWER: PASSWORD})
    assert ShopMember.objects.get(pk=member.pk).role == "reviewer"


def test_a_dialog_that_was_open_too_long_asks_in_its_own_place(console, clock):
    person = make_person()
    address = f"/admin/accounts/user/{person.pk}/choose_platform_role/"
    headers = {"HX-Request": "true"}
    form = form_of(console.get(address, headers=headers))
    clock.go(FRESH_FOR + BIT)
    page = console.post(address, {**form, "role": "auditor"}, headers=headers)
    assert is_asked(page)
    text = page.content.decode()
    assert 'id="dialog-form"' in text, "the dialog takes this part"
    assert "<form" not in text, "inside of its own form"
    assert not person.groups.exists()
    answer = console.post(address, {**form_of(page), ANSWER: PASSWORD}, headers=headers)
    assert answer["HX-Redirect"]
    assert person.groups.get().name == "auditor"


# --- By what --------------------------------------------------------------------------------------
@pytest.fixture
def mine(root, stale):
    """A second factor, of which the stale session knows."""
    made = enrol(root)
    session = stale.session
    session["second_factor"] = made.factor.pk
    session.save()
    return made


def test_whoever_has_a_second_factor_is_asked_for_it_and_no_password_is_enough(stale, mine):
    page = switch_on(stale)
    assert "Code of your phone" in page.content.decode()
    assert is_asked(switch_on(stale, **{ANSWER: PASSWORD}))
    assert is_asked(switch_on(stale, **{ANSWER: mine.phone.other()}))
    assert not Maintenance.objects.filter(is_on=True).exists()
    assert switch_on(stale, **{ANSWER: mine.phone.code()}).status_code == 302
    assert Maintenance.objects.filter(is_on=True).exists()


def test_a_code_that_was_used_is_no_answer(stale, mine, root):
    second_factors.use(person=root, answer=mine.phone.code())
    assert is_asked(switch_on(stale, **{ANSWER: mine.phone.code()}))


def test_a_recovery_code_is_one_and_says_how_many_are_left(stale, mine):
    answer = switch_on(stale, **{ANSWER: mine.codes[0]})
    assert answer.status_code == 302
    told = [str(message) for message in get_messages(answer.wsgi_request)]
    assert "A recovery code was used: 9 are left." in told


def test_whoever_has_neither_signs_in_again(clock):
    person = make_person(username="root", is_superuser=True)
    console = console_of(person)
    clock.go(FRESH_FOR + BIT)
    page = "/admin/accounts/user/add/"
    asked = console.get(page, follow=True)
    assert "sign in again" in asked.content.decode()
    assert is_asked(console.post(question_for(page), {ANSWER: ""}))
    answer = console.post(question_for(page), form_of(asked))
    assert answer["Location"] == f"/admin/login/?next={page.replace('/', '%2F')}"
    assert console.get("/admin/").status_code == 302


def test_what_whoever_has_neither_typed_is_said_to_be_lost(clock):
    console = console_of(make_person(username="root", is_superuser=True))
    clock.go(FRESH_FOR + BIT)
    page = switch_on(console)
    assert "What you entered is lost by it." in page.content.decode()


def test_an_answer_makes_no_other_session_fresh(stale, root, clock):
    other = console_of(root)
    clock.go(FRESH_FOR + BIT)
    switch_on(stale, **{ANSWER: PASSWORD})
    assert is_asked(switch_on(other))


def test_a_new_password_of_somebody_else_ends_up_with_them(stale, root):
    person = make_person(username="cook")
    address = f"/admin/accounts/user/{person.pk}/password/"
    stale.post(question_for(address), {ANSWER: PASSWORD})
    form = form_of(stale.get(address))
    stale.post(
        address, {**form, "password1": "n3w-s3cret-s3cret", "password2": "n3w-s3cret-s3cret"}
    )
    person.refresh_from_db()
    assert person.check_password("n3w-s3cret-s3cret")
    root.refresh_from_db()
    assert root.check_password(PASSWORD)


# --- Who ------------------------------------------------------------------------------------------
def test_strangers_are_asked_to_sign_in_as_ever(client):
    assert client.post(MAINTENANCE, {ANSWER: PASSWORD})["Location"].startswith("/admin/login/")
    assert client.get(QUESTION)["Location"].startswith("/admin/login/")
