"""Merging two accounts of one person: what moves, what ends, what is refused, and only once."""

from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import override

from accounts.errors import (
    AccountClosed,
    AlreadyMerged,
    MergeOfClosed,
    MergeOfOne,
    MergeOfRights,
)
from accounts.live_settings import REGISTER_BONUS
from accounts.models import (
    AccountMerge,
    ConsoleDevice,
    DeviceSession,
    EmailLink,
    PointsEntry,
    PointsSource,
    RegistrationMark,
    User,
    UserStatus,
)
from accounts.models.people import UserQuerySet
from accounts.services import console_devices, emails, identities, merging, profile, sign_in
from accounts.services.merged_accounts import account_ids, is_own, survivors
from accounts.services.points import change_points, lock_receiver, lock_receivers
from accounts.services.welcome import welcome
from accounts.tests.factories import make_sign_in, make_staff, merge_into
from accounts.tests.sockets import Client, in_database, opened
from catalog.models import ShopRole
from catalog.tests.factories import make_member, make_shop
from ops.access import Role
from ops.errors import NotAllowed, NotFound, NotSignedIn, Unavailable, ValidationFailed
from ops.models import AuditEntry, FilePurpose, IdempotencyRecord, StoredFile
from ops.services import files, integrity
from ops.services.idempotency import run_once
from ops.tests.layers import IN_MEMORY
from ops.tests.sockets import end_of_the_process
from tests.api import data_of, refusal_of
from tests.console import refused_unchanged
from tests.people import give, give_by_hand, make_person
from tests.races import kinds, race, take_lock_away

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff():
    return make_staff()


@pytest.fixture
async def process(settings):
    """A process that serves sockets."""
    settings.CHANNEL_LAYERS = IN_MEMORY
    yield
    await end_of_the_process()


def nothing_is_wrong():
    return [list(integrity.run(name)) for name in ("points", "merges")] == [[], []]


def receipts_gave(person, points):
    """Points of a receipt, past the receipt: lifetime points as well."""
    give(person, points, source=PointsSource.PHOTO_UPLOAD, related_id=f"9{person.pk:08d}")


def standing(person):
    return person.total_points, person.lifetime_points, person.points_version


def pair_of(cause):
    entries = PointsEntry.objects.filter(source=PointsSource.MERGE, related_id=str(cause.pk))
    return list(entries.order_by("pk").values_list("user", "sequence", "points", "balance_after"))


# --- Points ---------------------------------------------------------------------------------------
def test_points_move_by_a_pair_of_entries_and_old_rows_stay():
    survivor, merged = make_person(points=100), make_person(points=30)
    receipts_gave(merged, 200)
    old = list(PointsEntry.objects.order_by("pk").values())

    cause = merge_into(survivor, merged)

    assert pair_of(cause) == [(merged.pk, 3, -230, 0), (survivor.pk, 2, 230, 330)]
    assert (cause.points, cause.lifetime_points) == (230, 200)
    assert list(PointsEntry.objects.order_by("pk").values())[: len(old)] == old
    assert (survivor.total_points, survivor.lifetime_points, survivor.points_version) == (
        330,
        200,
        2,
    )
    assert (merged.total_points, merged.lifetime_points, merged.points_version) == (0, 0, 3)
    assert [*integrity.run("merges")] == []


def test_without_points_there_is_no_entry_and_lifetime_points_move_all_the_same():
    survivor, merged = make_person(points=100), make_person()
    receipts_gave(merged, 50)
    give(merged, -50)
    cause = merge_into(survivor, merged)
    assert pair_of(cause) == []
    assert (cause.points, cause.lifetime_points) == (0, 50)
    assert (survivor.total_points, survivor.lifetime_points) == (100, 50)
    assert (survivor.points_version, merged.points_version) == (1, 2)
    assert [*integrity.run("merges")] == []


def test_the_survivor_hears_of_the_points_and_the_merged_account_is_closed(
    pushes, django_capture_on_commit_callbacks
):
    survivor, merged = make_person(points=100), make_person(points=30)
    staff = make_staff()
    with django_capture_on_commit_callbacks(execute=True):
        merge_into(survivor, merged, author=staff)
    taken, given, closing = pushes.take(3)
    assert [taken["owner_id"], given["owner_id"]] == [merged.pk, survivor.pk]
    said = {"total_points": 130, "change_points": 30, "reason": "merge", "points_version": 2}
    assert said.items() <= given["data"].items()
    assert (closing["owner_id"], closing["code"]) == (merged.pk, 4403)


def test_nothing_comes_to_a_merged_account_any_more():
    survivor, merged = make_person(points=100), make_person(points=30)
    merge_into(survivor, merged)
    with refused_unchanged(), pytest.raises(AccountClosed):
        change_points(person_id=merged.pk, points=5, source=PointsSource.ADJUST)
    with refused_unchanged(), pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=merged.pk).update(total_points=5)
    assert lock_receiver(merged.pk).pk == lock_receiver(survivor.pk).pk == survivor.pk


def test_what_is_due_to_an_account_that_is_merged_at_this_moment_is_to_be_asked_for_again():
    """Somebody read it as its own, and held it once it was another's."""
    survivor, merged = make_person(), make_person()
    merge_into(survivor, merged)
    assert lock_receivers([survivor.pk]) == {survivor.pk: survivor}
    with pytest.raises(Unavailable):
        lock_receivers([survivor.pk, merged.pk])


def test_what_was_earned_and_spent_is_told_of_both_and_what_moved_is_no_gain():
    survivor, merged = make_person(points=100), make_person(points=30)
    give(survivor, -10)
    give(merged, -5)
    merge_into(survivor, merged)
    told = profile.statistics(survivor)
    assert (told["points_earned"], told["points_spent"]) == (130, 15)
    assert told["points_earned"] - told["points_spent"] == survivor.total_points


# --- Whose accounts they are ----------------------------------------------------------------------
def test_whoever_was_never_merged_is_asked_about_by_no_statement(django_assert_num_queries):
    person = make_person()
    with django_assert_num_queries(0):
        assert account_ids(person) == [person.pk]
        assert is_own(person, person.pk)
        assert not is_own(person, person.pk + 1)


def test_an_account_that_took_others_in_takes_them_along():
    first, second, third, stranger = (make_person(points=10) for _ in range(4))
    merge_into(second, first)
    assert account_ids(second) == [second.pk, first.pk]
    merge_into(third, second)
    first.refresh_from_db()
    assert account_ids(third) == [third.pk, first.pk, second.pk]
    assert [first.merged_into_id, second.merged_into_id] == [third.pk, third.pk]
    assert (third.merged_accounts, second.merged_accounts) == (2, 0)
    assert third.total_points == 30
    assert is_own(third, first.pk)
    assert not is_own(third, stranger.pk)
    assert nothing_is_wrong()


def test_merges_in_a_circle_are_found_and_end_somewhere():
    """Nobody but who writes rows by hand makes one."""
    first, second = make_person(), make_person()
    facts = {"points": 0, "lifetime_points": 0, "author": make_staff(), "reason": "a circle"}
    AccountMerge.objects.create(merged=first, survivor=second, **facts)
    AccountMerge.objects.create(merged=second, survivor=first, **facts)
    assert survivors() == {first.pk: [second.pk, first.pk], second.pk: [first.pk, second.pk]}
    found = {finding.object_id for finding in integrity.run("merges")}
    assert {f"user {first.pk}", f"user {second.pk}"} <= found


def test_an_account_without_any_way_to_sign_in_is_merged_as_well():
    survivor, merged = make_person(), make_person(phone=None)
    give(merged, 5)
    merge_into(survivor, merged)
    assert (survivor.total_points, RegistrationMark.objects.count()) == (5, 0)


# --- Signing in -----------------------------------------------------------------------------------
def test_a_phone_and_a_wechat_identity_come_together_in_the_account_that_goes_on():
    survivor = make_person(phone="13800138001")
    merged = make_person(phone=None, wechat_openid="openid", wechat_unionid="unionid")
    merge_into(survivor, merged)
    assert (survivor.phone, survivor.wechat_openid, survivor.wechat_unionid) == (
        "13800138001", "openid", "unionid",
    )  # fmt: skip
    assert (merged.phone, merged.wechat_openid, merged.wechat_unionid) == (None, None, None)
    found = identities.person_at_wechat(openid="openid", unionid="unionid", phone=None)
    assert found == (survivor, False)
    assert identities.person_by_phone("13800138001") == (survivor, False)


def test_of_two_phones_the_survivors_stays_and_the_other_leads_to_nobody():
    """Who has the number later, perhaps somebody else, gets into no account and no points twice."""
    survivor, merged = make_person(phone="13800138001"), make_person(phone="13800138002", points=9)
    merge_into(survivor, merged)
    assert (survivor.phone, merged.phone) == ("13800138001", None)
    newcomer, is_new = identities.person_by_phone("13800138002")
    assert is_new
    assert newcomer.pk not in {survivor.pk, merged.pk}
    newcomer.refresh_from_db()
    assert newcomer.total_points == 0


def test_of_two_wechat_identities_the_survivors_stays_as_a_whole():
    """An openid of one and a unionid of the other would let both in."""
    survivor = make_person(wechat_openid="mine")
    merged = make_person(wechat_openid="other", wechat_unionid="unionid")
    welcome(person=merged, points=0, openid="other")
    merge_into(survivor, merged)
    assert (survivor.wechat_openid, survivor.wechat_unionid) == ("mine", None)
    newcomer, is_new = identities.person_at_wechat(openid="other", unionid="unionid", phone=None)
    assert is_new
    newcomer.refresh_from_db()
    assert newcomer.total_points == 0


def test_what_is_given_up_is_marked_however_it_came_there():
    """Marks keep welcome points from coming twice; an account made by hand may have none."""
    merged = make_person(phone="13800138002", wechat_openid="openid")
    assert RegistrationMark.objects.count() == 0
    merge_into(make_person(), merged)
    assert RegistrationMark.objects.filter(person=merged, points=0).count() == 2
    newcomer, _is_new = identities.person_by_phone("13800138002")
    newcomer.refresh_from_db()
    assert (REGISTER_BONUS.value > 0, newcomer.total_points) == (True, 0)


def test_an_email_moves_where_there_is_none_and_links_end():
    survivor, merged = make_person(), make_person(email="wang@example.com")
    emails.ask_link(person_id=merged.pk, email="another@example.com")
    merge_into(survivor, merged)
    assert (survivor.email, merged.email) == ("wang@example.com", None)
    assert EmailLink.objects.get().closed_at is not None

    third = make_person(email="li@example.com")
    merge_into(survivor, third)
    assert (survivor.email, third.email) == ("wang@example.com", None)


def test_premium_lasts_until_the_later_of_both_days():
    today = timezone.localdate()
    days = [None, today, today + timedelta(days=9)]
    for mine in days:
        for other in days:
            survivor, merged = make_person(premium_until=mine), make_person(premium_until=other)
            merge_into(survivor, merged)
            later = max((day for day in (mine, other) if day), default=None)
            assert (survivor.premium_until, merged.premium_until) == (later, None)


def test_an_avatar_moves_where_there_is_none_and_the_nickname_stays():
    def picture():
        return files.store(
            content=b"x", media_type="image/jpeg", purpose=FilePurpose.AVATAR, owner_id=1
        )

    survivor, first = make_person(nickname="Wang"), make_person(avatar=picture())
    given_up = picture()
    second = make_person(avatar=given_up)
    theirs = first.avatar
    merge_into(survivor, first)
    assert (survivor.avatar, first.avatar, survivor.nickname) == (theirs, None, "Wang")
    merge_into(survivor, second)
    assert (survivor.avatar, second.avatar) == (theirs, None)
    gone = StoredFile.objects.filter(is_temporary=True, expires_at__lte=timezone.now())
    assert list(gone) == [given_up]


def test_all_sign_ins_of_the_merged_account_end_and_signing_in_leads_to_the_other(api):
    survivor = make_person(phone=None, wechat_openid="openid", points=100)
    merged = make_person(phone="13800138001", points=30)
    signed_in = make_sign_in(merged)
    console_devices.remember(person=merged, token="", address="", user_agent="")
    mine = DeviceSession.objects.create(
        user=survivor, rotated_at=timezone.now(), expires_at=timezone.now() + timedelta(days=1)
    )
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in.pair.access_token}")
    assert data_of(api.get("/api/auth/verify"))["user_info"]["user_id"] == merged.pk

    merge_into(survivor, merged)

    # Not 1005: it is not closed, and signing in again is what helps.
    assert refusal_of(api.get("/api/auth/verify")) == (401, 1006, None)
    with pytest.raises(NotSignedIn):
        sign_in.refresh(signed_in.pair.refresh_token)
    assert list(DeviceSession.objects.filter(revoked_at=None)) == [mine]
    assert ConsoleDevice.objects.filter(ended_at=None).count() == 0
    again = make_sign_in(survivor)  # by the phone
    assert (again.person, again.is_new_user) == (survivor, False)
    assert again.person.total_points == 130


def test_a_sign_in_that_was_under_way_meanwhile_gets_nobody_in(api):
    """It read the account before the merge, and wrote its session after it."""
    survivor, merged = make_person(), make_person()
    signed_in = make_sign_in(merged)
    merge_into(survivor, merged)
    DeviceSession.objects.filter(pk=signed_in.session.pk).update(revoked_at=None)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in.pair.access_token}")
    assert refusal_of(api.get("/api/auth/verify")) == (401, 1006, None)
    with pytest.raises(NotSignedIn):
        sign_in.refresh(signed_in.pair.refresh_token)


@pytest.mark.parametrize("identity", ["phone", "wechat_openid", "wechat_unionid", "email"])
def test_nothing_is_joined_to_a_merged_account(identity):
    """The constraint decides against a sign-in that read the account before the merge."""
    survivor, merged = make_person(), make_person()
    merge_into(survivor, merged)
    with refused_unchanged(), pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=merged.pk).update(**{identity: "13800138009"})


@pytest.mark.parametrize("status", UserStatus)
def test_a_merged_account_is_never_opened_or_banned(status):
    survivor, merged = make_person(), make_person()
    merge_into(survivor, merged)
    with refused_unchanged(), pytest.raises(AlreadyMerged):
        sign_in.change_status(person=merged, status=status)


def test_a_request_that_is_sent_again_after_the_merge_has_its_effect_once():
    """The answer was lost on the way; the app signed in to the other account and asks again."""
    survivor, merged = make_person(points=100), make_person(points=100)

    def spend(person):
        return run_once(
            owner_id=person.pk, path="/api/x", key="k", fingerprint="f",
            effect=lambda: give(person, -10).points,
        )  # fmt: skip

    spend(merged)
    merge_into(survivor, merged)
    assert (spend(survivor).is_replay, spend(survivor).data) == (True, -10)
    assert User.objects.get(pk=survivor.pk).total_points == 190


def test_a_key_that_both_used_stays_with_each():
    survivor, merged = make_person(), make_person()
    for person in (survivor, merged):
        IdempotencyRecord.objects.create(owner_id=person.pk, path="/", key="k", fingerprint="f")
    merge_into(survivor, merged)
    owners = IdempotencyRecord.objects.order_by("pk").values_list("owner_id", flat=True)
    assert list(owners) == [survivor.pk, merged.pk]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
async def test_the_sockets_of_the_merged_account_close(process):
    me, other = await in_database(make_sign_in), await in_database(make_sign_in)
    staff = await in_database(make_staff)
    mine, _hello = await opened(me.pair.access_token)
    others, _hello = await opened(other.pair.access_token)
    await in_database(merge_into, other.person, me.person, author=staff)
    assert await mine.close_code() == 4403
    assert await others.heard_before_a_pong() == []
    await others.leave()
    again = Client(me.pair.access_token)
    await again.open()
    assert await again.close_code() == 4403


# --- Once -----------------------------------------------------------------------------------------
def test_twice_is_once(staff):
    survivor, merged = make_person(points=100), make_person(points=30)
    first = merge_into(survivor, merged, author=staff)
    with refused_unchanged():
        assert merge_into(survivor, merged, author=staff, reason="Again") == first


def test_a_merged_account_is_a_part_of_no_other(staff):
    survivor, merged, other = make_person(), make_person(), make_person()
    merge_into(survivor, merged)
    for into, what in ((other, merged), (merged, survivor), (merged, other)):
        with refused_unchanged(), pytest.raises(AlreadyMerged):
            merge_into(into, what, author=staff)


# --- Who may, and which accounts ------------------------------------------------------------------
def refused(refusal, survivor, merged, author):
    """The same refusal for the page that shows what would be done, and for doing it."""
    ids = {"survivor_id": survivor.pk, "merged_id": merged.pk, "author_id": author.pk}
    with pytest.raises(refusal):
        merging.preview(**ids)
    with pytest.raises(refusal):
        merging.merge(**ids, reason="One person")


@pytest.mark.parametrize("name", ["customer", "cashier", "reviewer", "manager", "owner", "auditor"])
def test_only_staff_of_the_platform_merge(cast, name):
    survivor, merged = make_person(), make_person()
    with refused_unchanged():
        refused(NotAllowed, survivor, merged, getattr(cast, name))


def test_a_right_that_is_held_at_a_shop_is_none(cast):
    owner = give_by_hand(cast.owner, "merge_user")
    survivor, merged = make_person(), make_person()
    with refused_unchanged():
        refused(NotAllowed, survivor, merged, owner)


def test_staff_whose_account_was_closed_merge_no_more(staff):
    survivor, merged = make_person(), make_person()
    User.objects.filter(pk=staff.pk).update(status="banned")
    with refused_unchanged():
        refused(NotAllowed, survivor, merged, staff)


@pytest.mark.parametrize("status", ["inactive", "banned"])
def test_a_closed_account_is_merged_in_neither_direction(staff, status):
    """Else the phone of somebody who is banned would lead to an account that is open."""
    closed, fine = make_person(status=status), make_person()
    with refused_unchanged():
        refused(MergeOfClosed, fine, closed, staff)
        refused(MergeOfClosed, closed, fine, staff)


def with_rights():
    """Everybody who may do anything in the console, or sign in to it."""
    group = make_person()
    group.groups.set(Group.objects.filter(name=Role.SHOP_CASHIER))
    members = [make_member(shop=make_shop(), role=role) for role in ShopRole]
    return [
        *members,
        group,
        give_by_hand(make_person(), "view_order"),
        make_staff("another of the staff"),
        make_person(is_superuser=True),
        make_person(is_staff=True),
        make_person(username="cook"),
    ]


def test_an_account_with_rights_is_merged_in_neither_direction(staff):
    """Whoever signs in to the customer's account would have them, or sign in by their phone."""
    fine, others = make_person(), with_rights()
    with refused_unchanged():
        for person in others:
            refused(MergeOfRights, fine, person, staff)
            refused(MergeOfRights, person, fine, staff)


def test_nobody_merges_their_own_account(staff):
    fine = make_person()
    with refused_unchanged():
        refused(MergeOfRights, staff, fine, staff)
        refused(MergeOfRights, fine, staff, staff)


def test_an_account_is_not_merged_into_itself_and_not_into_none(staff):
    person, gone = make_person(), User(pk=10**12)
    with refused_unchanged():
        refused(MergeOfOne, person, person, staff)
        refused(NotFound, person, gone, staff)
        refused(NotFound, gone, person, staff)


@pytest.mark.parametrize("reason", ["", "  "])
def test_it_needs_a_reason(staff, reason):
    survivor, merged = make_person(), make_person()
    with refused_unchanged(), pytest.raises(ValidationFailed) as raised:
        merge_into(survivor, merged, author=staff, reason=reason)
    assert list(raised.value.data) == ["reason"]


# --- What staff see before, and what stays after --------------------------------------------------
def test_staff_see_before_what_would_become_of_it(staff):
    survivor = make_person(wechat_openid="mine")
    merged = make_person(points=30, wechat_openid="other", email="wang@example.com")
    make_sign_in(merged)
    with refused_unchanged():
        told = merging.preview(survivor_id=survivor.pk, merged_id=merged.pk, author_id=staff.pk)
    assert (told.survivor, told.merged) == (survivor, merged)
    with override("en"):
        ways = [(str(name), str(fate).partition(":")[0]) for name, fate in told.identities]
    assert ways == [("phone", "is given up"), ("WeChat", "is given up"), ("e-mail", "moves")]
    numbers = [number for _name, number, _fate in told.rows]
    assert numbers[:3] == [30, 0, 1]


def test_both_accounts_have_it_in_the_audit_trail(staff):
    survivor = make_person(points=100, phone=None)
    merged = make_person(points=30, phone="13800138001")
    merge_into(survivor, merged, author=staff, reason=" One person ")
    first, second = AuditEntry.objects.filter(action="user.merge").order_by("pk")
    assert (first.object_id, second.object_id) == (str(survivor.pk), str(merged.pk))
    assert (first.actor_id, first.reason) == (staff.pk, "One person")
    assert first.before == '{"phone":null,"total_points":100}'
    assert first.after == '{"phone":"138****8001","total_points":130}'
    assert f'"merged_into":{survivor.pk}' in second.after
    assert "13800138001" not in first.after + second.before


# --- At the same time -----------------------------------------------------------------------------
FEW = 8


def attempt(survivor_id, merged_id, author_id):
    return merging.merge(
        survivor_id=survivor_id, merged_id=merged_id, reason="One person", author_id=author_id
    )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_many_at_once_merge_once():
    survivor, merged, staff = make_person(points=100), make_person(points=30), make_staff()
    outcomes = race([partial(attempt, survivor.pk, merged.pk, staff.pk)] * FEW)
    assert kinds(outcomes) == {AccountMerge: FEW}
    assert {one.pk for one in outcomes} == {AccountMerge.objects.get().pk}
    assert PointsEntry.objects.filter(source=PointsSource.MERGE).count() == 2
    assert User.objects.get(pk=survivor.pk).total_points == 130
    assert nothing_is_wrong()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_the_constraint_alone_stops_the_others(monkeypatch):
    """All of them see two accounts that were never merged."""
    survivor, merged, staff = make_person(points=100), make_person(points=30), make_staff()
    take_lock_away(monkeypatch, UserQuerySet, FEW)
    outcomes = race([partial(attempt, survivor.pk, merged.pk, staff.pk)] * FEW)
    assert kinds(outcomes) == {AccountMerge: 1, IntegrityError: FEW - 1}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_that_are_merged_into_each_other_at_once_one_goes_on():
    first, second, staff = make_person(points=100), make_person(points=30), make_staff()
    ways = [(first.pk, second.pk), (second.pk, first.pk)] * (FEW // 2)
    outcomes = race([partial(attempt, *ids, staff.pk) for ids in ways])
    assert kinds(outcomes) == {AccountMerge: FEW // 2, AlreadyMerged: FEW // 2}
    assert sorted(User.objects.filter(pk__in=ways[0]).values_list("total_points", flat=True)) == [
        0, 130,
    ]  # fmt: skip
    assert nothing_is_wrong()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_whoever_spends_at_the_same_time_spends_before_the_merge_or_not_at_all():
    survivor, merged, staff = make_person(), make_person(points=100), make_staff()
    spend = partial(change_points, person_id=merged.pk, points=-10, source=PointsSource.ADJUST)
    outcomes = race([partial(attempt, survivor.pk, merged.pk, staff.pk), *[spend] * FEW])
    spent = kinds(outcomes)[PointsEntry]
    assert kinds(outcomes)[AccountClosed] == FEW - spent
    assert User.objects.get(pk=survivor.pk).total_points == 100 - 10 * spent
    assert [*integrity.run("merges")] == []
