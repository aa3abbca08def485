"""One's own second factor: setting it up, replacing it, its recovery codes, its end."""

import re
from xml.etree import ElementTree

import pytest
from django.contrib.sessions.models import Session

from accounts.models import RecoveryCode, SecondFactor, User
from accounts.services import second_factors
from accounts.tests.factories import enrol
from ops.models import AuditEntry
from ops.services import encryption
from tests.clock import hold_clock
from tests.console import console_of, fill_in, refused_unchanged
from tests.people import make_cast, make_person

pytestmark = pytest.mark.django_db

INDEX = "/admin/"
OVERVIEW, SET_UP = "/admin/second-factor/", "/admin/second-factor/set-up/"
CODES, REMOVE = "/admin/second-factor/codes/", "/admin/second-factor/remove/"


@pytest.fixture(autouse=True)
def english(settings):
    settings.LANGUAGE_CODE = "en"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    return hold_clock(monkeypatch)


@pytest.fixture
def owner():
    return make_cast().owner


@pytest.fixture
def console(owner):
    return console_of(owner)


def secret_on(page):
    return "".join(page.context["groups"])


def set_up(console, clock):
    """Set one up in the console; returns its secret and the page that shows the codes."""
    secret = secret_on(console.get(SET_UP))
    code = second_factors.code_at(secret, clock.now)
    return secret, console.post(SET_UP, {"code": code})


def test_whoever_has_none_is_told_what_it_is(console):
    page = console.get(OVERVIEW)
    assert SET_UP in page.content.decode()
    assert REMOVE not in page.content.decode()


@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager", "owner", "staff", "auditor"])
def test_every_member_may_have_one(role, clock):
    person = getattr(make_cast(), role)
    _secret, answer = set_up(console_of(person), clock)
    assert len(answer.context["codes"]) == 10
    assert second_factors.factor_of(person)


def test_the_page_shows_the_secret_as_a_picture_and_in_groups_for_typing(console, owner):
    page = console.get(SET_UP)
    secret = secret_on(page)
    assert len(secret) == 32
    assert [len(group) for group in page.context["groups"]] == [4] * 8
    text = page.content.decode()
    drawing = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert drawing
    assert ElementTree.fromstring(drawing[0]).get("viewBox")  # noqa: S314  our own
    assert "http" not in drawing[0].replace("http://www.w3.org/2000/svg", ""), "nobody is asked"
    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


def test_the_picture_says_the_address_that_apps_read(console, owner, clock, monkeypatch):
    seen = []
    address_of = second_factors.address_of

    def note(secret, **facts):
        seen.append(address_of(secret, **facts))
        return seen[-1]

    monkeypatch.setattr(second_factors, "address_of", note)
    secret = secret_on(console.get(SET_UP))
    (address,) = seen
    assert f"secret={secret}" in address
    assert "issuer=testserver" in address
    assert owner.phone not in address


def test_nothing_counts_before_one_code_of_the_phone(console, owner, clock):
    secret = secret_on(console.get(SET_UP))
    assert second_factors.factor_of(owner) is None
    good = second_factors.code_at(secret, clock.now)
    wrong = "000000" if good != "000000" else "111111"
    with refused_unchanged():
        page = console.post(SET_UP, {"code": wrong})
    assert page.context["form"].non_field_errors() == [
        "This code is wrong, too old, or was used before."
    ]
    assert secret_on(page) == secret, "the phone has scanned this one"
    with refused_unchanged():
        assert "code" in console.post(SET_UP, {"code": ""}).context["form"].errors
    assert len(console.post(SET_UP, {"code": good}).context["codes"]) == 10


def test_a_secret_that_waits_is_encrypted_in_the_session(console):
    secret = secret_on(console.get(SET_UP))
    for session in Session.objects.all():
        assert secret not in str(session.get_decoded())
    page = console.get(SET_UP)
    assert secret_on(page) == secret


def test_a_secret_whose_key_is_gone_is_made_anew(console, settings):
    secret = secret_on(console.get(SET_UP))
    settings.FIELD_ENCRYPTION_KEYS = ("n" * 60,)
    assert secret_on(console.get(SET_UP)) != secret


def test_another_browser_is_shown_another_secret(console, owner):
    assert secret_on(console.get(SET_UP)) != secret_on(console_of(owner).get(SET_UP))


def test_the_browser_that_set_it_up_goes_on_and_all_others_end(console, owner, clock):
    other = console_of(owner)
    key = console.session.session_key
    set_up(console, clock)
    assert console.get(INDEX).status_code == 200
    assert console.session.session_key != key
    assert other.get(INDEX).status_code == 302


def test_recovery_codes_are_shown_once(console, owner, clock):
    _secret, page = set_up(console, clock)
    text = page.content.decode()
    codes = page.context["codes"]
    assert all(code in text for code in codes)
    assert "this one time and never again" in text
    assert "data-print" in text
    assert "data-copy" in text
    for address in (OVERVIEW, SET_UP, CODES, INDEX):
        again = console.get(address).content.decode()
        assert not any(code in again for code in codes)
    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    for session in Session.objects.all():
        assert not any(code in str(session.get_decoded()) for code in codes)


def test_new_recovery_codes_replace_the_old(console, owner, clock):
    _secret, page = set_up(console, clock)
    old = page.context["codes"]
    with refused_unchanged():
        assert "worth nothing" in console.get(CODES).content.decode()
    new = fill_in(console, CODES).context["codes"]
    assert len({*new, *old}) == 20
    assert second_factors.use(person=owner, answer=old[0]) is None
    assert second_factors.use(person=owner, answer=new[0])


def test_the_overview_says_how_many_are_left(console, owner, clock):
    set_up(console, clock)
    assert "10 recovery codes are left." in console.get(OVERVIEW).content.decode()
    RecoveryCode.objects.filter(pk__in=RecoveryCode.objects.values("pk")[:9]).update(
        used_at=clock.now
    )
    page = console.get(OVERVIEW)
    assert "1 recovery code is left." in page.content.decode()
    assert page.context["few"]


def test_another_phone_replaces_the_one_of_before(console, owner, clock):
    old, _page = set_up(console, clock)
    before = SecondFactor.objects.get()
    new, page = set_up(console, clock)
    assert new != old
    assert len(page.context["codes"]) == 10
    factor = SecondFactor.objects.get()
    assert factor.pk != before.pk
    assert encryption.decrypt(factor.secret_encrypted) == new
    assert console.get(INDEX).status_code == 200


def test_it_is_removed(console, owner, clock):
    set_up(console, clock)
    with refused_unchanged():
        console.get(REMOVE)
    assert fill_in(console, REMOVE)["Location"] == OVERVIEW
    assert second_factors.factor_of(owner) is None
    assert console.get(INDEX).status_code == 200
    assert AuditEntry.objects.filter(action="user.remove_second_factor").count() == 1
    for page in (REMOVE, CODES):
        with refused_unchanged():
            answer = console.post(page, follow=True)
        assert [str(told) for told in answer.context["messages"]] == ["There is no second factor."]


def test_staff_replace_theirs_and_cannot_remove_it(settings, clock):
    settings.SECOND_FACTOR_ASKED = True
    console = console_of(make_cast().staff)
    set_up(console, clock)
    assert REMOVE not in console.get(OVERVIEW).content.decode()
    with refused_unchanged():
        answer = console.post(REMOVE, follow=True)
    assert [str(told) for told in answer.context["messages"]] == [
        "Your rights ask for a second factor: it can be replaced, not removed."
    ]
    set_up(console, clock)
    assert console.get(INDEX).status_code == 200


def test_the_menu_of_the_account_leads_there(console):
    page = console.get("/admin/catalog/shop/").content.decode()
    assert OVERVIEW in page
    assert "/admin/password_change/" in page


@pytest.mark.parametrize("page", [OVERVIEW, SET_UP, CODES, REMOVE, "/admin/second-factor/offer/"])
def test_these_pages_are_for_whoever_is_signed_in(page, client):
    assert client.get(page)["Location"].startswith("/admin/login/")
    customer = console_of(make_person())
    assert customer.get(page)["Location"].startswith("/admin/login/")


# --- Reset by staff -------------------------------------------------------------------------------
def reset_page(person):
    return f"/admin/accounts/user/{person.pk}/reset_second_factor/"


def test_staff_reset_that_of_somebody_who_lost_their_phone(owner):
    enrol(owner)
    theirs = console_of(make_person(is_superuser=True, username="root"))
    page = theirs.get(f"/admin/accounts/user/{owner.pk}/change/")
    assert reset_page(owner) in page.content.decode()
    answer = fill_in(theirs, reset_page(owner), reason="Lost phone, came to the office")
    assert answer.status_code == 302
    assert second_factors.factor_of(owner) is None
    entry = AuditEntry.objects.get(action="user.reset_second_factor")
    assert entry.reason == "Lost phone, came to the office"


def test_without_a_reason_nothing_is_reset(owner):
    enrol(owner)
    theirs = console_of(make_person(is_superuser=True, username="root"))
    with refused_unchanged():
        assert fill_in(theirs, reset_page(owner)).status_code == 200


def test_nobody_resets_their_own_nor_that_of_somebody_with_more_rights():
    cast = make_cast()
    root = make_person(is_superuser=True, username="root")
    for person in (root, cast.owner):
        enrol(person)
    staff = console_of(cast.staff)
    with refused_unchanged():
        fill_in(staff, reset_page(root), reason="r")
    enrol(cast.staff)
    staff = console_of(cast.staff)
    session = staff.session
    session["second_factor"] = cast.staff.second_factor.pk
    session.save()
    before = User.objects.filter(second_factor__isnull=False).count()
    fill_in(staff, reset_page(cast.staff), reason="r")
    assert User.objects.filter(second_factor__isnull=False).count() == before


@pytest.mark.parametrize("role", ["auditor", "owner", "manager"])
def test_whoever_has_no_right_to_it_resets_nothing(role):
    cast = make_cast()
    enrol(cast.cashier)
    with refused_unchanged():
        answer = console_of(getattr(cast, role)).post(reset_page(cast.cashier), {"reason": "r"})
    assert answer.status_code in {302, 403, 404}
