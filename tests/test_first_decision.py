"""A merchant from the invitation to the first decision: by the console's own links and forms."""

import pytest
from django.urls import reverse

from accounts.models import User
from accounts.tests.factories import RecordingSender
from catalog.models import ShopInvitation, ShopRole
from catalog.tests.factories import make_member, make_shop
from reviews.models import Receipt
from reviews.tests.factories import make_receipt
from tests.api import client_of, data_of
from tests.browsing import Browser
from tests.people import make_person

pytestmark = pytest.mark.django_db

OWNER, REVIEWER = "13900139001", "13812345678"
INVITATIONS = reverse("admin:catalog_shopinvitation_changelist")
RECEIPTS = reverse("admin:reviews_receipt_changelist")


@pytest.fixture(autouse=True)
def sent(settings):
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    settings.SMS_FIXED_CODE = ""
    RecordingSender.sent.clear()
    return RecordingSender.sent


@pytest.fixture
def enter(sent, django_capture_on_commit_callbacks):
    """Sign in to the console as people do: by the phone, and the code that comes there."""

    def enters(phone, language):
        browser = Browser(language=language).open("/admin/")
        assert browser.page.language == language
        by_code = [link for link in browser.page.links if "way=code" in link]
        browser.open(by_code[0])
        with django_capture_on_commit_callbacks(execute=True):
            browser.send(button="ask", phone=phone)
        to, code = sent[-1]
        assert to == phone
        return browser.send(phone=phone, code=code)

    return enters


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_merchant_goes_from_the_invitation_to_the_first_decision(enter, language):
    shop, other_shop = make_shop(name="Plum House"), make_shop(name="Elsewhere")
    make_member(shop=shop, role=ShopRole.OWNER, person=make_person(phone=OWNER))
    customer = make_person()
    waiting = make_receipt(shop=shop, person=customer)
    elsewhere = make_receipt(shop=other_shop)

    owner = enter(OWNER, language)
    owner.follow(INVITATIONS).follow(reverse("admin:catalog_shopinvitation_add"))
    owner.send(shop=str(shop.pk), phone=REVIEWER, role="reviewer")
    assert owner.at == INVITATIONS
    assert "138****5678" in owner.text
    assert ShopInvitation.objects.get().phone == REVIEWER

    reviewer = enter(REVIEWER, language)
    assert User.objects.get(phone=REVIEWER).is_staff
    reviewer.follow(RECEIPTS)
    shown = [link for link in reviewer.page.links if RECEIPTS in link and "/change/" in link]
    assert shown
    assert all(f"/{waiting.pk}/" in link for link in shown)
    assert all(f"/{elsewhere.pk}/" not in link for link in shown)
    reviewer.open(shown[0])
    assert "1000" in reviewer.text.replace(",", "")
    reviewer.send(action="approve", points="1000")

    assert Receipt.objects.get(pk=waiting.pk).status == "approved"
    profile = data_of(client_of(customer).get("/api/user/profile"))
    assert profile["total_points"] == 1000
    for browser in (owner, reviewer):
        assert browser.page.language == language

    # And they say themselves where they work.
    mine = reverse("admin:catalog_shopmember_mine")
    reviewer.follow(mine)
    assert "Plum House" in reviewer.text
    reviewer.send(button="leave")
    assert not User.objects.get(phone=REVIEWER).is_staff
    assert reviewer.at.startswith(reverse("admin:login"))


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_an_owner_who_is_invited_elsewhere_accepts_on_their_page(enter, language):
    shop, other_shop = make_shop(name="Plum House"), make_shop(name="Elsewhere")
    make_member(shop=shop, role=ShopRole.OWNER, person=make_person(phone=OWNER))
    make_member(shop=other_shop, role=ShopRole.OWNER, person=make_person(phone="13900139002"))

    owner = enter(OWNER, language)
    owner.follow(INVITATIONS).follow(reverse("admin:catalog_shopinvitation_add"))
    owner.send(shop=str(shop.pk), phone="13900139002", role="cashier")

    invited = enter("13900139002", language)
    invited.follow(reverse("admin:catalog_shopmember_mine"))
    assert "Plum House" in invited.text
    invited.send(button="accept")
    page = invited.text
    assert page.index("Elsewhere") < page.rindex("Plum House")
    assert not ShopInvitation.objects.exists()
