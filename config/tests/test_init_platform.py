"""`manage.py init_platform`: an empty database becomes a platform, once; a demo never does."""

import getpass
import io

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.utils import translation

from accounts.models import PointsEntry, Tier, User, UserStatus
from accounts.services import sign_in
from catalog.models import Category, Shop, ShopMember, ShopRole
from catalog.services.members import join
from config import demo, opening
from config.demo_accounts import MERCHANT_PHONE
from lottery.models import Prize, Wheel, WheelVersion
from lottery.services import publishing
from lottery.tests.factories import make_draft
from ops.access import access_of
from ops.models import AuditEntry
from tests.console import contents, refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"
STAFF_PHONE, OWNER_PHONE = "13700137001", "13700137002"
ARGUMENTS = {
    "staff_username": "li",
    "staff_phone": STAFF_PHONE,
    "shop_name": "老李茶馆",
    "owner_phone": OWNER_PHONE,
}


@pytest.fixture(autouse=True)
def outside_debug(settings, monkeypatch):
    settings.DEBUG = False
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]
    monkeypatch.setenv("STAFF_PASSWORD", PASSWORD)


def run(*flags, language="en", **changed):
    """What the command says, asked nothing unless it is said otherwise."""
    said = {"interactive": False, **ARGUMENTS, **changed}
    output = io.StringIO()
    with translation.override(language):
        call_command("init_platform", *flags, stdout=output, **said)
    return output.getvalue()


def answering(monkeypatch, *answers, passwords=()):
    """Let somebody answer the questions of the command, each of them."""
    monkeypatch.delenv("STAFF_PASSWORD", raising=False)
    left, secret = iter(answers), iter(passwords)
    monkeypatch.setattr("builtins.input", lambda _prompt: next(left))
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(secret))
    return lambda: (list(left), list(secret)) == ([], [])


def nothing_said():
    return dict.fromkeys(ARGUMENTS) | {"interactive": True}


# --- An empty database ----------------------------------------------------------------------------
def test_a_platform_has_all_that_it_begins_with():
    said = run()
    root = User.objects.get(username="li")
    assert (root.is_superuser, root.phone, root.must_change_password) == (True, STAFF_PHONE, True)
    assert root.check_password(PASSWORD)
    shop = Shop.objects.get()
    assert shop.name == "老李茶馆"
    owner = ShopMember.objects.get().person
    assert (owner.phone, ShopMember.objects.get().role) == (OWNER_PHONE, ShopRole.OWNER)
    assert access_of(owner).opens_console
    assert [tier.threshold for tier in Tier.objects.all()] == [0, 5000, 20000]
    assert Category.objects.count() == 4
    wheel = Wheel.objects.get()
    assert (wheel.shop, wheel.organiser, wheel.is_default) == (shop, "老李茶馆", False)
    assert Prize.objects.filter(wheel=wheel).count() == 8
    assert said.count("(made)") == 6
    call_command("check_integrity", stdout=io.StringIO())


def test_the_wheel_is_a_draft_that_could_be_published_as_it_is():
    run()
    assert not WheelVersion.objects.exists()
    publishing.publish(wheel_id=Wheel.objects.get().pk)
    assert WheelVersion.objects.get().number == 1


def test_nobody_but_the_two_is_there_and_nobody_has_a_known_password():
    run()
    assert User.objects.count() == 2
    owner = User.objects.get(phone=OWNER_PHONE)
    assert owner.password == ""
    assert not PointsEntry.objects.exists(), "nobody proved that phone yet"


def test_the_owner_signs_in_by_their_phone_to_the_very_account(settings):
    run()
    owner = User.objects.get(phone=OWNER_PHONE)
    settings.SMS_FIXED_CODE = "123456"
    device = sign_in.Device(address="127.0.0.1")
    signed_in = sign_in.sign_in_by_code(phone=OWNER_PHONE, code="123456", device=device)
    assert signed_in.person == owner


def test_each_part_is_audited_by_whoever_runs_it():
    run()
    assert [*AuditEntry.objects.order_by("pk").values_list("action", flat=True)] == [
        "user.create_superuser",
        *["tier.add"] * 3,
        *["category.add"] * 4,
        "shop.add",
        "user.add",
        "shopmember.join",
        "wheel.add",
    ]
    (actor,) = {(one.actor_id, one.system_user) for one in AuditEntry.objects.all()}
    assert actor[0] is None
    assert actor[1].startswith(f"{getpass.getuser()}@")


def test_names_are_in_the_language_of_the_deployment():
    run(language="zh-hans")
    assert not Tier.objects.filter(name__in=["Bronze", "Silver", "Gold"]).exists()


# --- Who sets the password ------------------------------------------------------------------------
def test_ones_own_password_need_not_be_changed():
    run("--own")
    assert not User.objects.get(username="li").must_change_password


def test_the_password_may_come_by_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("an0ther-s3cret\n"))
    run("--password-stdin")
    assert User.objects.get(username="li").check_password("an0ther-s3cret")


def test_no_argument_takes_a_password():
    parser = load_command_class("config", "init_platform").create_parser("manage.py", "x")
    taking = [one.dest for one in parser._actions if one.nargs != 0 and "password" in one.dest]
    assert taking == []


# --- By questions ---------------------------------------------------------------------------------
def test_what_was_not_said_is_asked(monkeypatch):
    is_done = answering(
        monkeypatch, "li", STAFF_PHONE, "老李茶馆", OWNER_PHONE, passwords=[PASSWORD, PASSWORD]
    )
    run(**nothing_said())
    assert is_done()
    assert User.objects.get(username="li").phone == STAFF_PHONE
    assert ShopMember.objects.get().person.phone == OWNER_PHONE


def test_a_phone_of_staff_may_be_left_out(monkeypatch):
    answering(monkeypatch, "li", " ", "老李茶馆", OWNER_PHONE, passwords=[PASSWORD, PASSWORD])
    run(**nothing_said())
    assert User.objects.get(username="li").phone is None


def test_what_is_there_is_not_asked_for(monkeypatch):
    run()
    answering(monkeypatch)
    assert run(**nothing_said()).count("(there already)") == 6


# --- Once more ------------------------------------------------------------------------------------
def test_the_second_time_nothing_is_made():
    run()
    before = contents()
    said = run()
    assert said.count("(there already)") == 6
    assert "made)" not in said
    assert contents() == before


@pytest.mark.parametrize("part", ["_tiers", "_categories", "_shop", "_owner", "_wheel"])
def test_whoever_was_interrupted_goes_on(monkeypatch, part):
    class Killed(BaseException):
        pass

    make, calls = getattr(opening, part), []

    def killed(wanted):
        calls.append(wanted)
        if len(calls) == 2:  # the first is the rehearsal
            raise Killed
        return make(wanted)

    with monkeypatch.context() as patch:
        patch.setattr(opening, part, killed)
        with pytest.raises(Killed):
            run()
    half = contents()
    run()
    assert contents() != half
    assert [User.objects.count(), Shop.objects.count(), Wheel.objects.count()] == [2, 1, 1]
    assert [Tier.objects.count(), Category.objects.count()] == [3, 4]
    assert run().count("(there already)") == 6


def test_what_staff_made_meanwhile_is_taken_for_the_part():
    Tier.objects.create(name="VIP", threshold=0, multiplier=2)
    Category.objects.create(name="Tea")
    make_draft()
    said = run()
    assert said.count("(there already)") == 3
    assert [Tier.objects.count(), Category.objects.count(), Wheel.objects.count()] == [1, 1, 1]


def test_an_owner_with_an_account_keeps_it():
    customer = make_person(phone=OWNER_PHONE, points=500)
    run()
    assert ShopMember.objects.get().person == customer


def test_staff_may_own_the_shop():
    run(owner_phone=STAFF_PHONE)
    assert ShopMember.objects.get().person == User.objects.get()


# --- What is refused ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"staff_username": None}, "needs a user name and a password"),
        ({"staff_username": "13800138000"}, "more than digits"),
        ({"staff_username": "x" * 200}, "at most 150"),
        ({"staff_phone": "110"}, "not a mainland mobile number"),
        ({"staff_phone": MERCHANT_PHONE}, "is the demo's"),
        ({"owner_phone": "13800138001"}, "is the demo's"),
        ({"shop_name": None}, "needs a name"),
        ({"shop_name": "x" * 200}, "at most 100"),
        ({"owner_phone": None}, "needs an owner"),
        ({"owner_phone": "110"}, "not a mainland mobile number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(changed, sentence):
    with refused_unchanged(), pytest.raises(CommandError, match=sentence):
        run(**changed)


@pytest.mark.parametrize("password", ["", "12345678", "li123456789", STAFF_PHONE])
def test_a_weak_password_is_refused(monkeypatch, password):
    monkeypatch.setenv("STAFF_PASSWORD", password)
    with refused_unchanged(), pytest.raises(CommandError):
        run()


def test_a_name_or_phone_of_somebody_else_is_refused():
    make_person(username="li", phone="13700137009")
    with refused_unchanged(), pytest.raises(CommandError, match="has this user name already"):
        run()
    with refused_unchanged(), pytest.raises(CommandError, match="has this phone number already"):
        run(staff_username="zhao", staff_phone="13700137009")


def test_a_closed_account_becomes_no_owner():
    make_person(phone=OWNER_PHONE, status=UserStatus.BANNED)
    with refused_unchanged(), pytest.raises(CommandError, match="inactive or banned"):
        run()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"staff_username": "zhao"}, "The first staff account is li already"),
        ({"staff_phone": "13700137009"}, "li has another phone number"),
        ({"shop_name": "Another"}, "The first shop is 老李茶馆 already"),
        ({"owner_phone": "13700137009"}, "老李茶馆 has an owner already"),
    ],
)
def test_what_is_there_is_not_made_another(changed, sentence):
    run()
    with refused_unchanged(), pytest.raises(CommandError, match=sentence):
        run(**changed)


def test_one_of_several_owners_may_be_named():
    run()
    second = make_person(phone="13700137009")
    join(shop_id=Shop.objects.get().pk, person=second, role=ShopRole.OWNER)
    assert run(owner_phone="13700137009").count("(there already)") == 6


@pytest.mark.parametrize("is_debug", [True, False])
def test_a_demo_becomes_no_platform(settings, is_debug):
    settings.DEBUG = is_debug
    demo.load()
    User.objects.update(username=None, phone=None)
    with refused_unchanged(), pytest.raises(CommandError, match="holds the demo"):
        run()
