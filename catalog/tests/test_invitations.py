"""Inviting somebody to work at a shop, and what they answer: by the service and in the console."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts.errors import AccountClosed, InvalidPhone, OwnRole
from accounts.models import User, UserStatus
from accounts.services import admissions, identities, sign_in
from accounts.tests.factories import merge_into
from catalog.errors import InvitationGone, RoleAboveOwn, TooManyInvitations, WorksThere
from catalog.limits import INVITATION_LIFETIME, MOST_INVITATIONS
from catalog.models import Shop, ShopInvitation, ShopMember, ShopRole
from catalog.services import invitations, members
from catalog.tests.factories import make_member, make_shop
from ops.access import access_of
from ops.errors import NotAllowed, NotFound, TooManyRequests
from ops.models import AuditEntry
from tests.console import console_of, form_of, refused_unchanged
from tests.people import give_by_hand, make_person
from tests.races import Unlocked, kinds, race

pytestmark = pytest.mark.django_db

NEW_PHONE = "13812345678"  # of somebody without an account
ADD = "admin:catalog_shopinvitation_add"
LIST = "admin:catalog_shopinvitation_changelist"
MINE = "admin:catalog_shopmember_mine"


def read(person):
    """A person as the next request reads them."""
    return User.objects.get(pk=person.pk)


def invite(cast, phone=NEW_PHONE, role=ShopRole.REVIEWER, **more):
    asked = {"shop_id": cast.shop.pk, "author_id": cast.owner.pk, **more}
    return invitations.invite(phone=phone, role=role, **asked)


def roles(person):
    return dict(ShopMember.objects.filter(person=person).values_list("shop_id", "role"))


def expire(invitation):
    ShopInvitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())


# --- Inviting -----------------------------------------------------------------------------------
def test_nobody_works_anywhere_before_they_accept(cast):
    """Also somebody who has an account: a shop makes nobody its clerk unasked."""
    invitation = invite(cast, cast.customer.phone)
    assert (invitation.shop_id, invitation.role) == (cast.shop.pk, "reviewer")
    assert invitation.invited_by_id == cast.owner.pk
    until = timezone.now() + INVITATION_LIFETIME
    assert until - timedelta(minutes=1) < invitation.expires_at <= until
    assert roles(cast.customer) == {}
    assert not access_of(read(cast.customer)).opens_console


def test_an_invitation_does_not_tell_whether_a_phone_has_an_account(cast):
    console = console_of(cast.owner)
    shown = []
    for phone in (cast.customer.phone, NEW_PHONE):
        sent = {"shop": cast.shop.pk, "phone": phone, "role": "cashier"}
        answer = console.post(reverse(ADD), sent)
        assert answer["Location"] == reverse(LIST)
        invitation = ShopInvitation.objects.get(phone=phone)
        page = console.get(reverse(LIST))
        detail = console.get(reverse("admin:catalog_shopinvitation_change", args=[invitation.pk]))
        assert detail.status_code == 200
        for text in (page.text, detail.text):
            assert phone not in text
            assert invitation.masked_phone in text
            assert cast.customer.nickname not in text.replace("customers", "")
        invitations.withdraw_all([invitation])
        shown.append(answer.status_code)
    assert shown == [302, 302]


def test_the_form_begins_with_the_fewest_rights(cast):
    assert form_of(console_of(cast.owner).get(reverse(ADD)))["role"] == ["cashier"]


def test_a_second_invitation_renews_the_first(cast):
    first = invite(cast)
    expire(first)
    second = invite(cast, role=ShopRole.CASHIER)
    assert second.pk == first.pk
    (there,) = ShopInvitation.objects.all()
    assert there.role == "cashier"
    assert there.expires_at > timezone.now()


def test_who_works_there_is_not_invited(cast):
    with refused_unchanged(), pytest.raises(WorksThere):
        invite(cast, cast.cashier.phone)


def test_nobody_invites_themselves(cast):
    with refused_unchanged(), pytest.raises(OwnRole):
        invite(cast, cast.owner.phone)


def test_nobody_invites_to_a_role_above_their_own(cast):
    keeper = give_by_hand(cast.manager, "add_shopinvitation")
    with refused_unchanged(), pytest.raises(RoleAboveOwn):
        invite(cast, role=ShopRole.OWNER, author_id=keeper.pk)
    with refused_unchanged(), pytest.raises(RoleAboveOwn):
        invite(cast, author_id=cast.other_owner.pk)
    invite(cast, role=ShopRole.CASHIER, author_id=keeper.pk)


def test_who_covers_a_role_and_runs_no_members_invites_nobody(cast):
    with refused_unchanged(), pytest.raises(NotAllowed):
        invite(cast, role=ShopRole.CASHIER, author_id=cast.manager.pk)


def test_what_is_no_phone_is_not_invited(cast):
    with refused_unchanged(), pytest.raises(InvalidPhone):
        invite(cast, "12345")
    sent = {"shop": cast.shop.pk, "phone": "12345", "role": "cashier"}
    with refused_unchanged():
        answer = console_of(cast.owner).post(reverse(ADD), sent)
    assert "phone" in answer.context["adminform"].form.errors


def test_nobody_is_invited_to_a_shop_that_is_none():
    with refused_unchanged(), pytest.raises(NotFound):
        invitations.invite(shop_id=0, phone=NEW_PHONE, role=ShopRole.CASHIER)


def fill(cast, number):
    until = timezone.now() + INVITATION_LIFETIME
    ShopInvitation.objects.bulk_create(
        ShopInvitation(shop=cast.shop, phone=f"139{one:08d}", role="cashier", expires_at=until)
        for one in range(number)
    )


def test_a_shop_has_so_many_that_wait(cast):
    fill(cast, MOST_INVITATIONS)
    with refused_unchanged(), pytest.raises(TooManyInvitations):
        invite(cast)
    invite(cast, "13900000000")  # one that waits already
    expire(ShopInvitation.objects.get(phone="13900000000"))
    invite(cast)


def test_an_expired_one_is_renewed_only_where_there_is_room(cast):
    earlier = invite(cast)
    expire(earlier)
    fill(cast, MOST_INVITATIONS)
    with refused_unchanged(), pytest.raises(TooManyInvitations):
        invite(cast)


def test_nobody_invites_one_phone_after_the_other(cast, monkeypatch):
    monkeypatch.setattr(invitations, "INVITATIONS_AN_HOUR", 2)
    invite(cast)
    invite(cast, "13900000001")
    with refused_unchanged(), pytest.raises(TooManyRequests):
        invite(cast, "13900000002")
    invite(cast, "13900000002", author_id=None)  # a command
    cache.clear()
    invite(cast, "13900000003")


# --- Accepting ----------------------------------------------------------------------------------
def test_who_accepts_works_there_at_once(cast):
    invitation = invite(cast, cast.customer.phone)
    member = invitations.accept(person=cast.customer, invitation_id=invitation.pk)
    assert (member.shop_id, member.role) == (cast.shop.pk, "reviewer")
    assert roles(cast.customer) == {cast.shop.pk: "reviewer"}
    assert access_of(read(cast.customer)).opens_console
    assert not ShopInvitation.objects.exists()
    with refused_unchanged(), pytest.raises(InvitationGone):
        invitations.accept(person=cast.customer, invitation_id=invitation.pk)


def test_an_account_that_is_made_later_finds_the_invitation(cast):
    invitation = invite(cast)
    person, is_new = identities.person_by_phone(NEW_PHONE)
    assert is_new
    assert roles(person) == {}
    assert list(invitations.open_to(person)) == [invitation]


def test_a_phone_that_joins_a_wechat_account_finds_the_invitation(cast):
    sign_in_there = partial(identities.person_at_wechat, openid="o-1", unionid=None)
    person, _is_new = sign_in_there(phone=None)
    invitation = invite(cast)
    assert not invitations.open_to(read(person))
    same, _is_new = sign_in_there(phone=NEW_PHONE)
    assert same == person
    assert list(invitations.open_to(read(person))) == [invitation]
    invitations.accept(person=read(person), invitation_id=invitation.pk)
    assert roles(person) == {cast.shop.pk: "reviewer"}


def nothing_to_accept(person, invitation):
    assert not invitations.open_to(read(person))
    for answer in (invitations.accept, invitations.decline):
        with refused_unchanged(), pytest.raises(InvitationGone):
            answer(person=read(person), invitation_id=invitation.pk)


def test_nobody_answers_the_invitation_of_another(cast):
    invitation = invite(cast)
    for person in (cast.customer, cast.cashier, make_person(phone=None, wechat_openid="o-2")):
        nothing_to_accept(person, invitation)


def test_an_expired_one_is_gone(cast):
    invitation = invite(cast, cast.customer.phone)
    expire(invitation)
    nothing_to_accept(cast.customer, invitation)


def test_a_closed_account_accepts_nothing(cast):
    invitation = invite(cast, cast.customer.phone)
    sign_in.change_status(person=cast.customer, status=UserStatus.BANNED)
    nothing_to_accept(cast.customer, invitation)


def test_an_account_that_was_merged_meanwhile_accepts_nothing(cast):
    """By a request that had read it before the merge."""
    invitation = invite(cast, cast.customer.phone, role=ShopRole.OWNER)
    before = read(cast.customer)
    merge_into(cast.other_customer, cast.customer)
    with refused_unchanged(), pytest.raises(InvitationGone):
        invitations.accept(person=before, invitation_id=invitation.pk)


def test_an_account_that_was_closed_meanwhile_accepts_nothing(cast):
    invitation = invite(cast, cast.customer.phone)
    before = read(cast.customer)
    sign_in.change_status(person=cast.customer, status=UserStatus.BANNED)
    with refused_unchanged(), pytest.raises(InvitationGone):
        invitations.accept(person=before, invitation_id=invitation.pk)


def test_an_account_that_was_merged_works_nowhere(cast):
    """However it comes to join: the row that counts is read while it is held."""
    before = read(cast.customer)
    merge_into(cast.other_customer, cast.customer)
    for author_id in (None, cast.owner.pk):
        with refused_unchanged(), pytest.raises(AccountClosed):
            members.join(
                shop_id=cast.shop.pk, person=before, role=ShopRole.OWNER, author_id=author_id
            )


def lower(cast):
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    members.change_role(member=ShopMember.objects.get(person=cast.owner), role=ShopRole.MANAGER)


def let_go(cast):
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    members.leave(member=ShopMember.objects.get(person=cast.owner))


def ban(cast):
    sign_in.change_status(person=cast.owner, status=UserStatus.BANNED)


@pytest.mark.parametrize("fall", [lower, let_go, ban])
def test_it_holds_while_who_invited_may_give_the_role(cast, fall):
    """Else a member who was let go would have let others in beforehand."""
    invitation = invite(cast, cast.customer.phone)
    fall(cast)
    assert not admissions.is_awaited(cast.customer.phone)
    with refused_unchanged(), pytest.raises(InvitationGone):
        invitations.accept(person=cast.customer, invitation_id=invitation.pk)


@pytest.mark.parametrize("fall", [lower, let_go, ban])
def test_nobody_is_shown_what_they_could_not_accept(cast, fall):
    invite(cast, cast.customer.phone)
    assert invitations.open_to(cast.customer).count() == 1
    fall(cast)
    assert not invitations.open_to(cast.customer).exists()


def test_an_invitation_that_ends_in_this_moment_keeps_nobody_out(cast, monkeypatch):
    """Between the look at it and the answer: the sign-in goes on with what is left."""
    gone = invite(cast, cast.customer.phone)
    left = invite(cast, cast.customer.phone, shop_id=cast.other_shop.pk, author_id=None)
    take = invitations._take

    def taken_before(invitation):
        if invitation.pk == gone.pk:
            return False
        return take(invitation)

    monkeypatch.setattr(invitations, "_take", taken_before)
    invitations.accept_all(cast.customer)
    assert roles(cast.customer) == {left.shop_id: "reviewer"}


def test_what_nobody_left_may_promise_lets_nobody_in(cast):
    invite(cast)
    lower(cast)
    with refused_unchanged():
        assert admissions.person_of(NEW_PHONE) is None
    invitations.invite(shop_id=cast.other_shop.pk, phone=NEW_PHONE, role=ShopRole.CASHIER)
    assert roles(let_in(NEW_PHONE)) == {cast.other_shop.pk: "cashier"}


def test_who_works_there_by_now_does_not_join_again(cast):
    person = make_person(phone=None, wechat_openid="o-3")
    make_member(shop=cast.shop, person=person)
    invitation = invite(cast)
    User.objects.filter(pk=person.pk).update(phone=NEW_PHONE)
    with refused_unchanged(), pytest.raises(WorksThere):
        invitations.accept(person=read(person), invitation_id=invitation.pk)


def test_who_joins_otherwise_leaves_no_invitation_behind(cast):
    invite(cast, cast.customer.phone)
    other = invite(cast, NEW_PHONE)
    members.join(shop_id=cast.shop.pk, person=cast.customer, role=ShopRole.CASHIER)
    assert list(ShopInvitation.objects.all()) == [other]


def test_who_declines_may_be_asked_again(cast):
    invitation = invite(cast, cast.customer.phone)
    invitations.decline(person=cast.customer, invitation_id=invitation.pk)
    nothing_to_accept(cast.customer, invitation)
    invite(cast, cast.customer.phone)


# --- Withdrawing --------------------------------------------------------------------------------
def test_a_withdrawn_one_is_gone(cast):
    invitation = invite(cast, cast.customer.phone)
    address = reverse("admin:catalog_shopinvitation_delete", args=[invitation.pk])
    console_of(cast.owner).post(address, {"post": "yes"})
    assert not ShopInvitation.objects.exists()
    nothing_to_accept(cast.customer, invitation)


def test_several_are_withdrawn_in_the_list(cast):
    asked = [invite(cast, f"1390000000{number}") for number in range(2)]
    sent = {
        "action": "delete_selected",
        "_selected_action": [one.pk for one in asked],
        "post": "yes",
    }
    console_of(cast.owner).post(reverse(LIST), sent)
    assert not ShopInvitation.objects.exists()
    assert AuditEntry.objects.filter(action="shopinvitation.withdraw").count() == 2


def test_nobody_withdraws_what_they_could_not_give(cast):
    keeper = give_by_hand(cast.manager, "add_shopinvitation", "delete_shopinvitation")
    invitation = invite(cast, role=ShopRole.OWNER)
    with refused_unchanged(), pytest.raises(RoleAboveOwn):
        invitations.withdraw_all([invitation], author_id=keeper.pk)


def test_what_was_answered_meanwhile_is_not_withdrawn(cast):
    invitation = invite(cast, cast.customer.phone)
    invitations.accept(person=cast.customer, invitation_id=invitation.pk)
    with refused_unchanged():
        invitations.withdraw_all([invitation], author_id=cast.owner.pk)


def test_expired_ones_are_forgotten(cast):
    gone, stays = invite(cast), invite(cast, "13900000001")
    expire(gone)
    assert invitations.forget_expired(now=timezone.now()) == 1
    assert invitations.forget_expired(now=timezone.now()) == 0
    assert list(ShopInvitation.objects.all()) == [stays]


# --- At the door of the console -----------------------------------------------------------------
def let_in(phone):
    person = admissions.person_of(phone)
    assert person is not None
    return person


def test_who_is_invited_gets_in_by_proving_the_phone(cast):
    invite(cast)
    assert admissions.is_awaited(NEW_PHONE)
    person = let_in(NEW_PHONE)
    assert person.phone == NEW_PHONE
    assert person.is_staff
    assert person.total_points == 1000  # as of every first sign-in
    assert roles(person) == {cast.shop.pk: "reviewer"}


def test_nobody_else_gets_an_account_there(cast):
    with refused_unchanged():
        assert not admissions.is_awaited(NEW_PHONE)
        assert admissions.person_of(NEW_PHONE) is None
        assert admissions.person_of(cast.customer.phone) == cast.customer


def test_who_works_somewhere_already_says_so_on_their_page(cast):
    """Else another shop would make them its clerk by their usual sign-in."""
    invite(cast, cast.other_owner.phone)
    assert admissions.person_of(cast.other_owner.phone) == cast.other_owner
    assert roles(cast.other_owner) == {cast.other_shop.pk: "owner"}


def test_two_shops_wait_for_one_phone(cast):
    invite(cast)
    invitations.invite(shop_id=cast.other_shop.pk, phone=NEW_PHONE, role=ShopRole.CASHIER)
    person = let_in(NEW_PHONE)
    assert roles(person) == {cast.shop.pk: "reviewer", cast.other_shop.pk: "cashier"}


def test_a_closed_account_does_not_get_in(cast):
    invite(cast, cast.customer.phone)
    sign_in.change_status(person=cast.customer, status=UserStatus.BANNED)
    with refused_unchanged():
        assert not let_in(cast.customer.phone).is_staff


# --- One's own page -----------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager", "owner", "staff", "auditor"])
def test_everybody_in_the_console_sees_where_they_work(cast, role):
    page = console_of(getattr(cast, role)).get(reverse(MINE))
    assert page.status_code == 200
    assert [one.shop for one in page.context["memberships"]] == (
        [] if role in {"staff", "auditor"} else [cast.shop]
    )


def test_who_works_elsewhere_accepts_on_their_page(cast):
    invitation = invite(cast, cast.other_owner.phone)
    console = console_of(cast.other_owner)
    (shown,) = console.get(reverse(MINE)).context["invitations"]
    assert shown == invitation
    assert console.post(reverse(MINE), {"accept": invitation.pk})["Location"] == reverse(MINE)
    assert roles(cast.other_owner) == {cast.other_shop.pk: "owner", cast.shop.pk: "reviewer"}


def test_who_works_elsewhere_declines_on_their_page(cast):
    invitation = invite(cast, cast.other_owner.phone)
    console = console_of(cast.other_owner)
    console.post(reverse(MINE), {"decline": invitation.pk})
    assert not ShopInvitation.objects.exists()
    with refused_unchanged():
        console.post(reverse(MINE), {"accept": invitation.pk})


@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager"])
def test_everybody_leaves_by_themselves(cast, role):
    person = getattr(cast, role)
    console = console_of(person)
    console.post(reverse(MINE), {"leave": ShopMember.objects.get(person=person).pk})
    assert roles(person) == {}
    assert console.get(reverse(MINE))["Location"].startswith(reverse("admin:login"))
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_id) == ("shopmember.leave", person.pk)


def test_who_leaves_one_shop_of_two_stays_in_the_other(cast):
    make_member(shop=cast.other_shop, person=cast.manager)
    console = console_of(cast.manager)
    here = ShopMember.objects.get(shop=cast.shop, person=cast.manager)
    console.post(reverse(MINE), {"leave": here.pk})
    assert console.get(reverse(MINE)).status_code == 200
    assert console.get(reverse("admin:catalog_product_changelist")).status_code == 403


@pytest.mark.parametrize("button", ["leave", "accept", "decline"])
@pytest.mark.parametrize("row_id", ["", "x", "0", "9" * 30])
def test_buttons_with_ids_that_are_none_change_nothing(cast, button, row_id):
    with refused_unchanged():
        assert console_of(cast.cashier).post(reverse(MINE), {button: row_id}).status_code == 302


def test_nobody_else_leaves_by_that_page(cast):
    console = console_of(cast.owner)
    other = ShopMember.objects.get(person=cast.cashier)
    last = ShopMember.objects.get(person=cast.owner)
    with refused_unchanged():
        console.post(reverse(MINE), {"leave": other.pk})
        console.post(reverse(MINE), {"leave": last.pk})
        console.post(reverse(MINE), {})
        assert console.put(reverse(MINE)).status_code == 405
        assert console_of(cast.customer).post(reverse(MINE), {"leave": other.pk}).status_code == 302


def test_the_page_has_a_button_for_each(cast):
    invitation = invite(cast, cast.other_owner.phone)
    page = console_of(cast.other_owner).get(reverse(MINE))
    for button, row in (
        ("accept", invitation),
        ("decline", invitation),
        ("leave", ShopMember.objects.get(person=cast.other_owner)),
    ):
        assert f'name="{button}" value="{row.pk}"' in page.text


# --- What is written down -----------------------------------------------------------------------
def test_each_step_is_in_the_security_log(cast, caplog, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        first = invite(cast, cast.customer.phone)
        invitations.decline(person=cast.customer, invitation_id=first.pk)
        invitations.withdraw_all([invite(cast)], author_id=cast.owner.pk)
        again = invite(cast, cast.customer.phone)
        invitations.accept(person=cast.customer, invitation_id=again.pk)
    for event in ("member_invited", "invitation_declined", "invitation_withdrawn"):
        assert f'"event": "{event}"' in caplog.text
    assert '"event": "membership_changed"' in caplog.text
    assert NEW_PHONE not in caplog.text
    assert cast.customer.phone not in caplog.text


# --- Races --------------------------------------------------------------------------------------
def invited(shop, person):
    return invitations.invite(shop_id=shop.pk, phone=person.phone, role=ShopRole.CASHIER)


def racing_shop():
    shop = make_shop()
    Shop.objects.exclude(pk=shop.pk).delete()
    return shop


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_invitations_at_once_there_is_one():
    shop = racing_shop()
    ask = partial(invitations.invite, shop_id=shop.pk, phone=NEW_PHONE, role=ShopRole.CASHIER)
    outcomes = race([ask] * 4)
    assert kinds(outcomes) == {ShopInvitation: 4}
    assert ShopInvitation.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_last_place_is_taken_once(monkeypatch):
    monkeypatch.setattr(invitations, "MOST_INVITATIONS", 1)
    outcomes = race(inviting_two(racing_shop()))
    assert kinds(outcomes) == {ShopInvitation: 1, TooManyInvitations: 1}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_the_last_place_is_taken_twice(monkeypatch):
    monkeypatch.setattr(invitations, "MOST_INVITATIONS", 1)
    shop = racing_shop()
    together = threading.Barrier(2)
    counted = threading.Barrier(2)
    pending = type(ShopInvitation.objects.all()).pending

    def read_together(rows, now):
        number = pending(rows, now).count()
        counted.wait(30)  # both have counted before one writes
        return _Counted(number)

    monkeypatch.setattr(invitations, "locked", lambda rows: Unlocked(rows, together))
    monkeypatch.setattr(type(ShopInvitation.objects.all()), "pending", read_together)
    outcomes = race(inviting_two(shop))
    assert kinds(outcomes) == {ShopInvitation: 2}


class _Counted:
    def __init__(self, number):
        self.number = number

    def count(self):
        return self.number


def inviting_two(shop):
    ask = partial(invitations.invite, shop_id=shop.pk, role=ShopRole.CASHIER)
    return [partial(ask, phone=phone) for phone in (NEW_PHONE, "13900000001")]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_accepted_or_withdrawn_and_never_both():
    shop, person = racing_shop(), make_person()
    invitation = invited(shop, person)
    accept = partial(invitations.accept, person=person, invitation_id=invitation.pk)
    accepted, again, withdrawn = race(
        [accept, accept, partial(invitations.withdraw_all, [invitation])]
    )
    assert withdrawn is None
    joined = [one for one in (accepted, again) if isinstance(one, ShopMember)]
    assert ShopMember.objects.filter(person=person).count() == len(joined)
    was_withdrawn = AuditEntry.objects.filter(action="shopinvitation.withdraw").count()
    assert len(joined) + was_withdrawn == 1
    assert {type(one) for one in (accepted, again)} <= {ShopMember, InvitationGone}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_look_that_decided_would_accept_what_was_withdrawn(monkeypatch):
    """Instead of the conditional DELETE."""
    shop, person = racing_shop(), make_person()
    invitation = invited(shop, person)
    together = threading.Barrier(2)

    def look(one):
        is_there = ShopInvitation.objects.filter(pk=one.pk).exists()
        together.wait(30)
        ShopInvitation.objects.filter(pk=one.pk).delete()
        return is_there

    monkeypatch.setattr(invitations, "_take", look)
    race(
        [
            partial(invitations.accept, person=person, invitation_id=invitation.pk),
            partial(invitations.withdraw_all, [invitation]),
        ]
    )
    assert ShopMember.objects.filter(person=person).exists()
    assert AuditEntry.objects.filter(action="shopinvitation.withdraw").exists()
