"""Members of a shop by the API: an owner runs them, the invited answer, everybody may leave."""

import pytest
from django.conf import settings
from django.core.cache import cache

from accounts.errors import SecondFactorMissing
from accounts.models import SignInLimit, User, UserStatus
from accounts.services import sign_in
from accounts.services.second_factors import STEP
from accounts.tests.factories import enrol
from catalog.models import ShopInvitation, ShopMember, ShopRole
from catalog.services import invitations, members
from catalog.tests.factories import make_member
from ops.models import AuditEntry
from tests.api import answer_of, client_of, data_of
from tests.console import console_of, refused_unchanged

pytestmark = pytest.mark.django_db

NEW_PHONE = "13812345678"
INVITATIONS = "/api/user/invitations"


@pytest.fixture
def path(cast):
    return f"/api/merchant/shops/{cast.shop.pk}/members"


@pytest.fixture
def owner(cast):
    return client_of(cast.owner)


def roles(person):
    return dict(ShopMember.objects.filter(person=person).values_list("shop_id", "role"))


def code_of(answer):
    return answer_of(answer).code


# --- What an owner sees -------------------------------------------------------------------------
def test_an_owner_reads_who_works_there(cast, owner, path):
    items = data_of(owner.get(path))["items"]
    assert [item["role"] for item in items] == ["owner", "manager", "reviewer", "cashier"]
    member = ShopMember.objects.get(person=cast.cashier)
    assert items[-1] == {
        "member_id": member.pk,
        "invitation_id": None,
        "status": "active",
        "role": "cashier",
        "user": {"nickname": cast.cashier.nickname, "mobile": cast.cashier.masked_phone},
        "created_at": items[-1]["created_at"],
        "expires_at": None,
    }


def test_the_answer_is_alike_whether_or_not_a_phone_has_an_account(cast, owner, path):
    known = data_of(owner.post(path, {"phone": cast.customer.phone, "role": "cashier"}))
    unknown = data_of(owner.post(path, {"phone": NEW_PHONE, "role": "cashier"}))
    listed = data_of(owner.get(f"{path}?status=invited"))["items"]
    assert listed == [unknown, known]
    for item, phone in ((known, cast.customer.phone), (unknown, NEW_PHONE)):
        assert item["user"] == {"nickname": None, "mobile": f"{phone[:3]}****{phone[-4:]}"}
        assert item["status"] == "invited"
        assert item["member_id"] is None
    assert len(data_of(owner.get(path))["items"]) == 4


def test_an_expired_invitation_is_not_listed(owner, path):
    data_of(owner.post(path, {"phone": NEW_PHONE, "role": "cashier"}))
    ShopInvitation.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert data_of(owner.get(f"{path}?status=invited"))["items"] == []
    gone = {"phone": NEW_PHONE, "role": "manager"}
    with refused_unchanged():
        assert code_of(owner.patch(path, gone)) == 1010
        assert code_of(owner.delete(path, {"phone": NEW_PHONE})) == 1010


# --- From invitation to work --------------------------------------------------------------------
def test_somebody_without_an_account_signs_in_and_accepts(cast, owner, path):
    data_of(owner.post(path, {"phone": NEW_PHONE, "role": "reviewer"}))
    app = client_of()
    said = {"phone": NEW_PHONE, "code": settings.SMS_FIXED_CODE}
    signed_in = data_of(app.post("/api/auth/login", said))
    assert signed_in["is_new_user"] is True
    app.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access_token']}")
    assert code_of(app.get("/api/merchant/reviews")) == 6001
    (item,) = data_of(app.get(INVITATIONS))["items"]
    assert (item["shop"]["shop_id"], item["role"]) == (cast.shop.pk, "reviewer")
    said = data_of(app.post(f"{INVITATIONS}/{item['invitation_id']}", {"decision": "accept"}))
    assert said == {"shop_id": cast.shop.pk, "role": "reviewer"}
    assert data_of(app.get("/api/user/profile"))["is_merchant"] is True
    assert data_of(app.get("/api/merchant/reviews"))["items"] == []
    assert data_of(app.get(INVITATIONS))["items"] == []


def test_who_declines_works_nowhere(cast, owner, path):
    data_of(owner.post(path, {"phone": cast.customer.phone, "role": "reviewer"}))
    app = client_of(cast.customer)
    (item,) = data_of(app.get(INVITATIONS))["items"]
    said = data_of(app.post(f"{INVITATIONS}/{item['invitation_id']}", {"decision": "decline"}))
    assert said == {"shop_id": None, "role": None}
    assert roles(cast.customer) == {}
    assert data_of(owner.get(f"{path}?status=invited"))["items"] == []


def test_nobody_answers_for_another(cast, owner, path):
    item = data_of(owner.post(path, {"phone": cast.customer.phone, "role": "reviewer"}))
    app = client_of(cast.other_customer)
    assert data_of(app.get(INVITATIONS))["items"] == []
    for decision in ("accept", "decline"):
        with refused_unchanged():
            answer = app.post(f"{INVITATIONS}/{item['invitation_id']}", {"decision": decision})
            assert code_of(answer) == 1010


# --- Another role, and leaving ------------------------------------------------------------------
@pytest.mark.parametrize("by", ["phone", "member_id"])
def test_an_owner_gives_another_role(cast, owner, path, by):
    member = ShopMember.objects.get(person=cast.cashier)
    named = {"phone": cast.cashier.phone} if by == "phone" else {"member_id": member.pk}
    till = client_of(cast.cashier)
    assert code_of(till.get("/api/merchant/reviews")) == 1009
    assert data_of(owner.patch(path, {**named, "role": "reviewer"}))["role"] == "reviewer"
    assert roles(cast.cashier) == {cast.shop.pk: "reviewer"}
    assert code_of(till.get("/api/merchant/reviews")) == 0  # at the very next request
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.actor_id) == ("shopmember.change_role", cast.owner.pk)


def test_another_role_of_an_invitation_is_the_one_that_is_accepted(cast, owner, path):
    data_of(owner.post(path, {"phone": cast.customer.phone, "role": "owner"}))
    changed = data_of(owner.patch(path, {"phone": cast.customer.phone, "role": "cashier"}))
    person = cast.customer
    invitations.accept(person=person, invitation_id=changed["invitation_id"])
    assert roles(person) == {cast.shop.pk: "cashier"}


@pytest.mark.parametrize("by", ["phone", "member_id", "query"])
def test_who_is_let_go_loses_the_shop_at_once(cast, owner, path, by):
    """In the app and in a session of the console that is open."""
    member = ShopMember.objects.get(person=cast.reviewer)
    app, console = client_of(cast.reviewer), console_of(cast.reviewer)
    assert code_of(app.get("/api/merchant/reviews")) == 0
    assert console.get("/admin/reviews/receipt/").status_code == 200
    if by == "query":
        data_of(owner.delete(f"{path}?member_id={member.pk}"))
    else:
        named = {"phone": cast.reviewer.phone, "member_id": member.pk}
        data_of(owner.delete(path, {by: named[by]}))
    assert code_of(app.get("/api/merchant/reviews")) == 6001
    assert console.get("/admin/reviews/receipt/").status_code == 302


@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager"])
def test_everybody_leaves_by_themselves_and_sends_nobody_away(cast, path, role):
    person = getattr(cast, role)
    app = client_of(person)
    for other in (cast.owner.phone, cast.customer.phone, NEW_PHONE):
        with refused_unchanged():
            assert code_of(app.delete(path, {"phone": other})) == 1009
    data_of(app.delete(path, {"phone": person.phone}))
    assert roles(person) == {}


def test_the_last_owner_stays(cast, owner, path):
    for named in (
        {"phone": cast.owner.phone},
        {"member_id": ShopMember.objects.get(person=cast.owner).pk},
    ):
        with refused_unchanged():
            assert code_of(owner.delete(path, named)) == 8008
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    data_of(owner.delete(path, {"phone": cast.owner.phone}))


def test_the_other_owner_is_none_while_their_account_is_closed(cast, owner, path):
    other = make_member(shop=cast.shop, role=ShopRole.OWNER)
    sign_in.change_status(person=other, status=UserStatus.BANNED)
    with refused_unchanged():
        assert code_of(owner.delete(path, {"phone": cast.owner.phone})) == 8008


def test_nobody_changes_their_own_role(cast, owner, path):
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    with refused_unchanged():
        assert code_of(owner.patch(path, {"phone": cast.owner.phone, "role": "cashier"})) == 1009


# --- The second factor --------------------------------------------------------------------------
# Each change of members that the console asks for a fresh factor before.
def inviting(cast):
    return "POST", "", {"phone": NEW_PHONE, "role": "owner"}


def giving_a_role(cast):
    return "PATCH", "", {"phone": cast.cashier.phone, "role": "owner"}


def letting_go(cast):
    return "DELETE", "", {"phone": cast.manager.phone}


def letting_go_by_the_query(cast):
    member = ShopMember.objects.get(person=cast.manager)
    return "DELETE", f"?member_id={member.pk}", {}


CHANGES = [inviting, giving_a_role, letting_go, letting_go_by_the_query]


@pytest.fixture
def factor(cast):
    return enrol(cast.owner)


@pytest.fixture
def change(cast, owner, path):
    """Send a change of members by the token of the owner's app, with more in its body."""

    def send(which, **more):
        method, query, said = which(cast)
        return getattr(owner, method.lower())(f"{path}{query}", {**said, **more})

    return send


@pytest.mark.parametrize("which", CHANGES)
def test_a_token_alone_takes_no_shop_over_whose_owner_has_a_second_factor(change, factor, which):
    """One SMS code is worth a token: what the console asks a second factor for needs it here."""
    for sent in ({}, {"second_factor": ""}):
        with refused_unchanged():
            answer = change(which, **sent)
            assert code_of(answer) == 1009
            assert answer.json()["msg"] == str(SecondFactorMissing())
            assert "second_factor" in answer.json()["msg"]


@pytest.mark.parametrize("which", CHANGES)
def test_a_wrong_code_changes_nothing_and_ends_no_sign_in(change, factor, which):
    before = list(AuditEntry.objects.values_list("pk", flat=True))
    answer = change(which, second_factor=factor.phone.other())
    assert code_of(answer) == 1011
    assert list(answer_of(answer).data) == ["second_factor"]
    assert list(AuditEntry.objects.values_list("pk", flat=True)) == before
    assert SignInLimit.objects.get().failures == 1


@pytest.mark.parametrize("which", CHANGES)
def test_the_code_of_the_phone_or_a_recovery_code_lets_it_pass(change, factor, which):
    assert code_of(change(which, second_factor=factor.phone.code())) == 0
    if which is inviting:  # the other ways are over now
        assert code_of(change(which, second_factor=factor.codes[0])) == 0


def test_a_code_passes_once(change, factor):
    code = factor.phone.code(after=STEP)
    assert code_of(change(inviting, second_factor=code)) == 0
    assert code_of(change(letting_go, second_factor=code)) == 1011


def test_codes_are_not_tried_one_after_the_other(change, factor):
    """The count is that of the console's second step from unknown devices."""
    for _try in range(5):
        assert code_of(change(inviting, second_factor=factor.phone.other())) == 1011
    answer = change(inviting, second_factor=factor.phone.code())
    assert code_of(answer) == 1013
    assert not ShopInvitation.objects.exists()


def test_who_leaves_by_themselves_is_asked_for_nothing(cast, owner, path, factor):
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    data_of(owner.delete(path, {"phone": cast.owner.phone}))
    assert roles(cast.owner) == {}


def test_who_has_no_second_factor_is_asked_for_nothing(change):
    """Also where their app sends one."""
    assert code_of(change(inviting, second_factor="123456")) == 0
    assert not SignInLimit.objects.exists()


# --- Walls --------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["cashier", "reviewer", "manager"])
def test_members_are_for_owners_alone(cast, path, role):
    app = client_of(getattr(cast, role))
    said = {"phone": cast.cashier.phone, "role": "manager"}
    with refused_unchanged():
        assert code_of(app.get(path)) == 1009
        assert code_of(app.post(path, said)) == 1009
        assert code_of(app.patch(path, said)) == 1009


@pytest.mark.parametrize("shop_id", ["other", "0", "x", "9" * 30])
def test_another_shop_answers_like_none(cast, owner, shop_id):
    shop_id = cast.other_shop.pk if shop_id == "other" else shop_id
    path = f"/api/merchant/shops/{shop_id}/members"
    said = {"phone": cast.other_owner.phone, "role": "cashier"}
    with refused_unchanged():
        assert code_of(owner.get(path)) == 1010
        assert code_of(owner.post(path, said)) == 1010
        assert code_of(owner.patch(path, said)) == 1010
        assert code_of(owner.delete(path, {"phone": cast.other_owner.phone})) == 1010


def test_an_owner_elsewhere_is_no_owner_here(cast, path):
    person = make_member(shop=cast.shop, person=cast.other_owner, role=ShopRole.CASHIER)
    app = client_of(person)
    with refused_unchanged():
        assert code_of(app.get(path)) == 1009
        assert code_of(app.post(path, {"phone": NEW_PHONE, "role": "cashier"})) == 1009
        assert code_of(app.delete(path, {"phone": cast.cashier.phone})) == 1009


def test_a_member_of_another_shop_is_found_nowhere(cast, owner, path):
    elsewhere = make_member(shop=cast.other_shop)
    there = ShopMember.objects.get(person=elsewhere)
    invited = invitations.invite(shop_id=cast.other_shop.pk, phone=NEW_PHONE, role=ShopRole.CASHIER)
    for named in (
        {"member_id": there.pk},
        {"invitation_id": invited.pk},
        {"phone": elsewhere.phone},
        {"phone": NEW_PHONE},
        {"member_id": "1"},
    ):
        with refused_unchanged():
            assert code_of(owner.patch(path, {**named, "role": "cashier"})) == 1010
            assert code_of(owner.delete(path, named)) == 1010


def test_customers_and_strangers_are_no_merchants(cast, path):
    said = {"phone": cast.cashier.phone, "role": "manager"}
    for client, code in ((client_of(cast.customer), 6001), (client_of(), 1006)):
        with refused_unchanged():
            assert code_of(client.get(path)) == code
            assert code_of(client.post(path, said)) == code
            assert code_of(client.patch(path, said)) == code
            assert code_of(client.delete(path, said)) == code


def test_who_was_let_go_as_owner_leaves_no_door_open(cast, owner, path):
    """What they promised before does not hold any more."""
    item = data_of(owner.post(path, {"phone": cast.customer.phone, "role": "owner"}))
    make_member(shop=cast.shop, role=ShopRole.OWNER)
    members.leave(member=ShopMember.objects.get(person=cast.owner))
    app = client_of(User.objects.get(pk=cast.customer.pk))
    with refused_unchanged():
        answer = app.post(f"{INVITATIONS}/{item['invitation_id']}", {"decision": "accept"})
        assert code_of(answer) == 1010


def test_phones_are_not_tried_one_after_the_other(owner, path, monkeypatch):
    monkeypatch.setattr(invitations, "INVITATIONS_AN_HOUR", 1)
    data_of(owner.post(path, {"phone": NEW_PHONE, "role": "cashier"}))
    with refused_unchanged():
        assert code_of(owner.post(path, {"phone": "13900000001", "role": "cashier"})) == 1013
    cache.clear()
