"""The page on which staff merge two accounts: what it shows, what it asks, what it refuses."""

import pytest
from django.urls import reverse

from accounts.models import AccountMerge, User
from accounts.tests.factories import merge_into
from ops.models import AuditEntry
from tests.console import console_of, form_of, refused_unchanged
from tests.people import give_by_hand, make_person

pytestmark = pytest.mark.django_db
GOOD = {"reason": "Both codes read at the counter", "confirmed": "on", "merge": "yes"}


@pytest.fixture
def survivor():
    return make_person(nickname="Goes on", points=100, phone="13800138001")


@pytest.fixture
def merged():
    return make_person(nickname="Was merged", points=30, phone=None, wechat_openid="an-openid")


@pytest.fixture
def console(cast):
    return console_of(cast.staff)


def page_of(survivor):
    return reverse("admin:accounts_user_merge_another", args=[survivor.pk])


def look(console, survivor, other):
    """The page as it is after the other account was looked up."""
    form = form_of(console.get(page_of(survivor)))
    return console.post(page_of(survivor), {**form, "other": str(other)})


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


def test_the_page_of_a_person_leads_there(console, survivor):
    person = console.get(reverse("admin:accounts_user_change", args=[survivor.pk]))
    assert page_of(survivor) in person.text


def test_both_accounts_are_shown_masked_with_what_will_become_of_them(console, survivor, merged):
    with refused_unchanged():
        page = look(console, survivor, merged.pk)
    told = page.context["told"]
    assert (told.survivor, told.merged) == (survivor, merged)
    assert "138****8001" in page.text
    assert "13800138001" not in page.text
    assert "an-openid" not in page.text
    assert [number for _name, number, _fate in told.rows][:1] == [30]
    assert len(told.rows) >= 8


def test_staff_merge_with_a_reason_and_a_confirmation(console, survivor, merged, cast):
    form = form_of(look(console, survivor, merged.pk))
    answer = console.post(page_of(survivor), {**form, **GOOD})
    assert answer.status_code == 302
    cause = AccountMerge.objects.get()
    assert (cause.survivor, cause.merged) == (survivor, merged)
    assert (cause.author_id, cause.reason) == (cast.staff.pk, GOOD["reason"])
    assert User.objects.get(pk=survivor.pk).total_points == 130
    page = console.get(reverse("admin:accounts_user_change", args=[merged.pk]))
    assert "Goes on" in page.text  # into which it was merged
    assert AuditEntry.objects.filter(action="user.merge").count() == 2


def test_a_page_that_is_sent_twice_merges_once(console, survivor, merged):
    form = form_of(look(console, survivor, merged.pk))
    for _time in range(2):
        assert console.post(page_of(survivor), {**form, **GOOD}).status_code == 302
    assert AccountMerge.objects.count() == 1


def test_the_other_account_is_found_by_its_whole_phone(console, survivor):
    merged = make_person(phone="13900139002")
    assert look(console, survivor, "13900139002").context["told"].merged == merged
    assert look(console, survivor, "1390013900").context["told"] is None


def test_a_phone_finds_nobody_for_whoever_may_not_search(cast, survivor):
    """Else a page of the console would say whether a phone is somebody's."""
    make_person(phone="13900139002")
    merger = make_person(is_staff=True)
    merger.user_permissions.clear()
    console = console_of(give_by_hand(merger, "merge_user", "view_user"))
    answer = console.post(page_of(survivor), {"other": "13900139002"})
    assert answer.status_code in {302, 403, 404} or answer.context["told"] is None


@pytest.mark.parametrize("other", ["", "0", "-1", "x", "9" * 30, "138****8001", "\x00", "987654"])
def test_what_names_no_account_is_told(console, survivor, other):
    with refused_unchanged():
        page = look(console, survivor, other)
    assert page.status_code == 200
    assert page.context["told"] is None
    assert len(messages_of(page)) == 1


@pytest.mark.parametrize(
    "fields", [{"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"confirmed": ""}], ids=str
)
def test_without_a_reason_or_the_confirmation_nothing_is_merged(console, survivor, merged, fields):
    form = form_of(look(console, survivor, merged.pk))
    with refused_unchanged():
        page = console.post(page_of(survivor), {**form, **GOOD, **fields})
    assert page.status_code == 200
    assert page.context["form"].errors.keys() == fields.keys()
    assert page.context["told"].merged == merged


def test_what_must_not_be_merged_is_told_before_and_when_it_is_sent_anyway(console, survivor, cast):
    banned = make_person(status="banned", nickname="Banned")
    for other in (banned, cast.cashier, survivor):
        with refused_unchanged():
            page = look(console, survivor, other.pk)
            assert page.context["told"] is None
            assert len(messages_of(page)) == 1
            sent = {**form_of(page), **GOOD, "other": str(other.pk)}
            answer = console.post(page_of(survivor), sent, follow=True)
            assert len(messages_of(answer)) == 1


def test_a_merged_account_is_a_part_of_one_alone(console, survivor, merged):
    merge_into(survivor, merged)
    for into, other in ((make_person(), merged), (merged, make_person())):
        with refused_unchanged():
            assert look(console, into, other.pk).context["told"] is None


@pytest.mark.parametrize("who", ["auditor", "owner", "manager", "reviewer", "cashier", "customer"])
def test_nobody_else_may(cast, survivor, merged, who):
    console = console_of(getattr(cast, who))
    with refused_unchanged():
        assert console.get(page_of(survivor)).status_code in {302, 403, 404}
        sent = {**GOOD, "other": str(merged.pk)}
        assert console.post(page_of(survivor), sent).status_code in {302, 403, 404}


def test_a_right_that_a_shop_gave_is_none(cast, merged):
    """Also with a customer whom the shop knows."""
    console = console_of(give_by_hand(cast.owner, "merge_user"))
    with refused_unchanged():
        for survivor in (cast.customer, cast.other_customer):
            assert console.get(page_of(survivor)).status_code in {302, 403, 404}
            sent = {**GOOD, "other": str(merged.pk)}
            assert console.post(page_of(survivor), sent).status_code in {302, 403, 404}


def test_there_is_no_page_of_nobody(console):
    assert console.get(page_of(User(pk=987_654_321))).status_code in {403, 404}
