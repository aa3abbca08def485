"""Premium: until a date, by staff, with the quota it gives."""

import importlib
from datetime import date, datetime, timedelta

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.urls import reverse
from django.utils import timezone

from accounts.errors import OwnPremium
from accounts.models import User
from accounts.services import premium
from accounts.tests.factories import sign_in
from ops.errors import ValidationFailed
from ops.models import AuditEntry
from tests.api import data_of
from tests.console import console_of, fill_in, form_of, refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch):
    """No midnight comes between two lines of a test."""
    now = timezone.localtime().replace(hour=12)
    monkeypatch.setattr(timezone, "now", lambda: now)


def days(number):
    return timezone.localdate() + timedelta(days=number)


def grant(person, until, *, author=None, reason="A regular"):
    author_id = (author or make_person()).pk
    premium.grant(person_id=person.pk, until=until, reason=reason, author_id=author_id)
    person.refresh_from_db()


def end(person, *, author=None, reason="Moved away"):
    premium.end(person_id=person.pk, reason=reason, author_id=(author or make_person()).pk)
    person.refresh_from_db()


# --- What it is ---------------------------------------------------------------------------------
def test_it_is_in_effect_the_same_day_and_the_customer_is_shown_what_it_gives(api):
    person = sign_in(api).person
    before = data_of(api.get("/api/user/profile"))
    assert (before["is_premium"], before["premium_until"], before["uploads_left_today"]) == (
        False, None, 20,
    )  # fmt: skip
    until = days(30)
    grant(person, until)
    after = data_of(api.get("/api/user/profile"))
    assert (after["is_premium"], after["premium_until"], after["uploads_left_today"]) == (
        True, until.isoformat(), 50,
    )  # fmt: skip
    assert data_of(api.get("/api/auth/verify"))["user_info"]["is_premium"] is True
    end(person)
    assert data_of(api.get("/api/user/profile")) == before


@pytest.mark.parametrize(
    ("zone", "moment", "is_premium"),
    [
        ("Asia/Shanghai", "2026-12-31T15:59:59+00:00", True),  # 23:59:59 there
        ("Asia/Shanghai", "2026-12-31T16:00:00+00:00", False),
        ("UTC", "2026-12-31T23:59:59+00:00", True),
        ("UTC", "2027-01-01T00:00:00+00:00", False),
        ("America/New_York", "2027-01-01T04:59:59+00:00", True),
        ("America/New_York", "2027-01-01T05:00:00+00:00", False),
    ],
)
def test_it_ends_by_itself_at_midnight_after_its_last_day(
    settings, monkeypatch, zone, moment, is_premium
):
    settings.TIME_ZONE = zone
    person = make_person(premium_until=date(2026, 12, 31))
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromisoformat(moment))
    assert person.is_premium is is_premium
    assert User.objects.premium().filter(pk=person.pk).exists() is is_premium


def test_nobody_is_premium_by_default(noon):
    assert not make_person().is_premium
    assert make_person(premium_until=days(0)).is_premium
    assert not make_person(premium_until=days(-1)).is_premium


def test_a_form_of_the_console_writes_no_premium_back():
    person = make_person()
    shown = User.objects.get(pk=person.pk)
    grant(person, days(3))
    shown.save()
    assert User.objects.get(pk=person.pk).is_premium


# --- Granting and ending ------------------------------------------------------------------------
def entries():
    return [
        (one.action, one.before, one.after, one.reason)
        for one in AuditEntry.objects.filter(action__contains="premium").order_by("pk")
    ]


def test_each_change_is_audited_with_its_reason_and_what_was_before():
    person = make_person()
    first, second = days(3), days(9)
    grant(person, first, reason=" A regular ")
    grant(person, second, reason="Longer")
    grant(person, second, reason="The same")  # changes nothing
    end(person, reason="Moved away")
    end(person, reason="Again")
    assert entries() == [
        ("user.grant_premium", '{"premium_until":null}', f'{{"premium_until":"{first}"}}',
         "A regular"),
        ("user.grant_premium", f'{{"premium_until":"{first}"}}',
         f'{{"premium_until":"{second}"}}', "Longer"),
        ("user.end_premium", f'{{"premium_until":"{second}"}}', '{"premium_until":null}',
         "Moved away"),
    ]  # fmt: skip
    assert person.premium_until is None


def test_what_ended_by_itself_is_not_ended_by_staff_once_more(noon):
    person = make_person(premium_until=days(-1))
    end(person)
    assert entries() == []
    assert person.premium_until == days(-1)


def refused_with(refusal, change):
    with refused_unchanged(), pytest.raises(refusal) as raised:
        change()
    return raised.value


@pytest.mark.parametrize("reason", ["", "  "])
def test_it_needs_a_reason(reason):
    person, author = make_person(premium_until=days(1)), make_person()
    for change in (
        lambda: grant(person, days(5), author=author, reason=reason),
        lambda: end(person, author=author, reason=reason),
    ):
        assert list(refused_with(ValidationFailed, change).data) == ["reason"]


def test_it_ends_today_at_the_earliest(noon):
    person, author = make_person(), make_person()
    refusal = refused_with(ValidationFailed, lambda: grant(person, days(-1), author=author))
    assert list(refusal.data) == ["until"]
    grant(person, days(0), author=author)
    assert person.is_premium


def test_nobody_grants_or_ends_their_own():
    person = make_person(premium_until=days(1))
    refused_with(OwnPremium, lambda: grant(person, days(9), author=person))
    refused_with(OwnPremium, lambda: end(person, author=person))


# --- The console --------------------------------------------------------------------------------
def address(action, person):
    return reverse(f"admin:accounts_user_{action}", args=[person.pk])


def test_staff_grant_and_end_it_in_the_console(cast):
    console, person = console_of(cast.staff), cast.customer
    until = days(7)
    answer = fill_in(
        console, address("grant_premium", person), until=until.isoformat(), reason="A regular"
    )
    assert answer.status_code == 302, answer.text
    person.refresh_from_db()
    assert person.premium_until == until
    page = console.get(reverse("admin:accounts_user_change", args=[person.pk]))
    assert address("end_premium", person) in page.text
    fill_in(console, address("end_premium", person), reason="Moved away")
    person.refresh_from_db()
    assert person.premium_until is None
    author = AuditEntry.objects.filter(action="user.end_premium").get()
    assert author.actor_id == cast.staff.pk


def test_a_dialog_that_is_sent_twice_grants_once(cast):
    console, person = console_of(cast.staff), cast.customer
    sent = {
        **form_of(console.get(address("grant_premium", person))),
        "until": days(7).isoformat(),
        "reason": "A regular",
    }
    for _time in range(2):
        console.post(address("grant_premium", person), sent)
    assert len(entries()) == 1


@pytest.mark.parametrize(
    "fields",
    [{"until": ""}, {"until": "yesterday"}, {"until": "1999-01-01"}, {"reason": ""},
     {"reason": "x" * 501}],
    ids=str,
)  # fmt: skip
def test_a_dialog_that_is_filled_in_wrong_changes_nothing(cast, fields):
    console, person = console_of(cast.staff), cast.customer
    good = {"until": days(7).isoformat(), "reason": "A regular"}
    fill_in(console, address("grant_premium", person), **(good | fields))
    person.refresh_from_db()
    assert person.premium_until is None


@pytest.mark.parametrize("who", ["auditor", "owner", "manager", "reviewer", "cashier", "customer"])
def test_nobody_else_may(cast, who):
    console, person = console_of(getattr(cast, who)), cast.other_customer
    with refused_unchanged():
        for action in ("grant_premium", "end_premium"):
            answer = console.post(
                address(action, person), {"until": days(7).isoformat(), "reason": "A regular"}
            )
            assert answer.status_code in {302, 403, 404}
    person.refresh_from_db()
    assert person.premium_until is None


def test_staff_find_whose_premium_lasts(cast, noon):
    lasting = make_person(nickname="Lasting", premium_until=days(0))
    over = make_person(nickname="Over", premium_until=days(-1))
    people = reverse("admin:accounts_user_changelist")
    console = console_of(cast.staff)
    for asked, shown in (("1", {lasting}), ("0", {over, cast.customer})):
        page = console.get(people, {"premium": asked})
        found = set(page.context["cl"].result_list)
        assert shown <= found
        assert not ({lasting, over, cast.customer} - shown) & found
    assert lasting in console.get(people, {"premium": "x"}).context["cl"].result_list


# --- From before it had an end ------------------------------------------------------------------
def test_who_was_premium_without_an_end_stays_so():
    """The column of the version before is there still, for its processes."""
    name = "accounts.migrations.0017_premium_has_an_end"
    migration = importlib.import_module(name)
    before = MigrationLoader(connection).project_state(("accounts", "0016_sign_ins_e_mail_premium"))
    premium_before, other = make_person(), make_person()
    people = before.apps.get_model("accounts", "User")._base_manager
    people.filter(pk=premium_before.pk).update(is_premium=True)

    migration.fill(before.apps, None)

    for person, until in ((premium_before, date(2099, 12, 31)), (other, None)):
        person.refresh_from_db()
        assert person.premium_until == until
    grant(other, days(30))
    end(premium_before)
    migration.empty(before.apps, None)
    told = people.filter(pk__in=[premium_before.pk, other.pk]).order_by("pk")
    assert list(told.values_list("is_premium", flat=True)) == [False, True]
