"""The page of a receipt, on which it is decided: what it shows, refuses and goes on to."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django.utils.html import strip_tags
from django.utils.translation import gettext, ngettext

from accounts.models import PointsEntry
from reviews import risk
from reviews.limits import LONGEST_REASON, MOST_POINTS
from reviews.models import ProcessStatus, Receipt
from reviews.services import queue
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import (
    everything,
    make_decided,
    make_receipt,
    make_record,
    make_reviewer,
)
from tests.console import form_of
from tests.people import give_by_hand, make_person

pytestmark = pytest.mark.django_db

LIST = "/admin/reviews/receipt/"
CHINESE = re.compile(r"[\u4e00-\u9fff]+")


@pytest.fixture
def reviewer(client, cast):
    """A reviewer of `cast.shop`, signed in to the console in English."""
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    client.force_login(cast.reviewer)
    return cast.reviewer


@pytest.fixture
def receive(cast):
    """Make a receipt of `cast.shop`."""

    def make(**fields):
        return make_receipt(**{"shop": cast.shop, **fields})

    return make


def page_of(receipt):
    return f"{LIST}{receipt.pk}/change/"


def decide_at(receipt):
    return f"{LIST}{receipt.pk}/decide/"


def text_of(page):
    """What somebody reads on a page, with single blanks."""
    content = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page.content.decode())
    return " ".join(unescape(strip_tags(content)).split())


def said_by(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def decide(client):
    def post(receipt, action, **fields):
        return client.post(decide_at(receipt), {"action": action, **fields})

    return post


@pytest.fixture
def refused(decide):
    """Send a decision that is refused on the page, and changes nothing."""

    def send(receipt, action, **fields):
        before = everything()
        answer = decide(receipt, action, **fields)
        assert answer.status_code == 200
        assert everything() == before
        return answer

    return send


# --- What it shows --------------------------------------------------------------------------------
def test_it_shows_all_that_a_decision_needs(client, reviewer, receive):
    reason = risk.Reason("amount_above_read", {"entered": "128.50", "read": "100.00"})
    receipt = receive(
        person=make_person(nickname="Guest of all", phone="13700001234"),
        input_amount=Decimal("128.50"),
        receipt_number="A4711",
        risk_score=40,
        risk_reasons=[reason.stored()],
        multiplier=Decimal("1.25"),
        estimated_points=1250,
    )

    page = client.get(page_of(receipt))

    text = text_of(page)
    for shown in (
        "128.50",
        "100.00",
        "28.50 yuan more was entered than read.",
        "95 % · read clearly",
        "A4711",
        "Nov. 22, 2026, noon",
        "Shop",
        "Guest of all 137****1234",
        "Risk 40 of 100",
        reason.text,
        "Worth 1250 points",
        "100.00 yuan × 10 points per yuan × tier multiplier 1.25, rounded down.",
        "1 receipt waits for your decision.",
    ):
        assert shown in text
    assert "13700001234" not in page.content.decode()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.content.decode())
    assert '<img src="/files/' in page.content.decode()
    assert form_of(page)["points"] == ["1250"]


def test_what_was_not_read_is_said_in_words(client, reviewer, receive):
    text = text_of(client.get(page_of(receive(read=False))))

    assert "Read amount not read" in text
    assert "Receipt number not read" in text
    assert "Date of issue not read" in text
    assert "than read" not in text
    assert "Confidence" not in text
    assert "Nothing stands out." in text


def test_less_entered_than_read_and_a_doubtful_reading_are_marked(client, reviewer, receive):
    receipt = receive(input_amount=Decimal("90.00"), confidence=Decimal("0.6999"))

    text = text_of(client.get(page_of(receipt)))

    assert "10.00 yuan less was entered than read." in text
    assert "69 % · read with doubt" in text


def test_the_receipt_that_a_reason_names_is_one_click_away(client, reviewer, receive):
    paid = receive()
    reason = risk.Reason("already_paid", {"upload_id": paid.pk})

    page = client.get(page_of(receive(risk_reasons=[reason.stored()])))

    assert f'href="{page_of(paid)}"' in page.content.decode()


def test_a_decided_receipt_shows_the_decision_instead_of_a_form(client, reviewer, receive):
    approved = make_decided(shop=receive().shop, points=77)
    rejected = make_decided("rejected", shop=approved.shop, reason="Blurred\nTwice")

    for receipt, shown in ((approved, "Approved with 77 points"), (rejected, "Rejected")):
        page = client.get(page_of(receipt))
        assert shown in text_of(page)
        assert f"Decided by {receipt.reviewer}" in text_of(page)
        assert decide_at(receipt) not in page.content.decode()
        assert "To the next one" in text_of(page)
    assert "Reason Blurred Twice" in text_of(page)


def test_a_receipt_still_being_read_offers_no_decision(client, reviewer, receive, refused):
    receipt = receive(read=False, process=ProcessStatus.PROCESSING)

    page = client.get(page_of(receipt))

    assert "is still being read" in text_of(page)
    assert "Read amount not read yet" in text_of(page)
    assert "Nothing stands out." not in text_of(page)
    assert decide_at(receipt) not in page.content.decode()
    assert "Please decide in a moment." in said_by(refused(receipt, "approve", points=1))[0]


def test_ones_own_receipt_is_for_somebody_else(client, reviewer, receive, refused):
    receipt = receive(person=reviewer)

    page = client.get(page_of(receipt))

    assert "This is your own receipt: somebody else has to decide about it." in text_of(page)
    assert decide_at(receipt) not in page.content.decode()
    assert said_by(refused(receipt, "approve", points=1)) == ["Nobody reviews their own receipt."]


def test_the_number_of_queries_does_not_grow(client, reviewer, receive):
    receipt = receive(risk_reasons=[risk.Reason("submitted_again").stored()])
    counts = []
    for more in (0, 12):
        for number in range(more):
            receive(person=make_person(nickname=f"One of many {number}"))
            make_record(receipt)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page_of(receipt)).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 17


def test_no_get_changes_anything(client, reviewer, receive):
    receipt = receive()
    before = everything()

    client.get(page_of(receipt))
    answer = client.get(decide_at(receipt), {"action": "approve", "points": 5})

    assert (answer.status_code, answer["Location"]) == (302, page_of(receipt))
    assert everything() == before


# --- Deciding -------------------------------------------------------------------------------------
def test_approving_pays_and_goes_on_to_the_next(client, reviewer, receive):
    receipt, following = receive(), receive()

    answer = client.post(
        decide_at(receipt), {**form_of(client.get(page_of(receipt))), "action": "approve"}
    )

    assert (answer.status_code, answer["Location"]) == (302, page_of(following))
    assert said_by(answer) == [f"Receipt #{receipt.pk} is approved with 1000 points."]
    receipt.refresh_from_db()
    assert (receipt.status, receipt.points_awarded) == ("approved", 1000)
    assert receipt.reviewer == reviewer
    assert PointsEntry.objects.get().related_id == str(receipt.pk)


def test_fewer_points_may_be_given(reviewer, receive, decide):
    receipt = receive()

    decide(receipt, "approve", points="900")

    receipt.refresh_from_db()
    assert (receipt.status, receipt.points_awarded) == ("approved", 900)


def test_rejecting_tells_the_customer_what_was_clicked_and_typed(reviewer, receive, decide):
    receipt = receive()

    answer = decide(
        receipt, "reject", ready=["blurred", "other_amount"], reason=" Please come by. "
    )

    assert said_by(answer)[0] == f"Receipt #{receipt.pk} is rejected."
    receipt.refresh_from_db()
    assert (receipt.status, receipt.points_awarded) == ("rejected", 0)
    assert receipt.review_reason.split("\n") == [
        "The picture is too blurred to read.",
        "The entered amount does not match the receipt.",
        "Please come by.",
    ]
    assert PointsEntry.objects.count() == 0


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("", "This field is required."),
        ("-1", "greater than or equal to 0"),
        (str(MOST_POINTS + 1), f"less than or equal to {MOST_POINTS}"),
        ("1.5", "Enter a whole number."),
        ("many", "Enter a whole number."),
    ],
)
def test_points_that_cannot_be_are_refused(reviewer, receive, refused, points, said):
    page = refused(receive(), "approve", points=points)

    assert said in text_of(page)
    assert form_of(page)["points"] == [points]


def test_a_rejection_needs_a_reason(reviewer, receive, refused):
    page = refused(receive(), "reject", reason="  ")

    assert "Say why it is rejected." in text_of(page)


def test_reasons_that_are_too_long_together_are_refused_and_kept(reviewer, receive, refused):
    typed = "x" * (LONGEST_REASON - 5)

    page = refused(receive(), "reject", ready=["blurred"], reason=typed)

    assert f"All reasons together have at most {LONGEST_REASON} characters." in text_of(page)
    assert form_of(page)["ready"] == ["blurred"]
    assert typed in form_of(page)["reason"][0]


def test_a_reason_that_nobody_offers_is_refused(reviewer, receive, refused):
    assert "Select a valid choice." in text_of(refused(receive(), "reject", ready=["because"]))


@pytest.mark.parametrize("action", ["", "keep"])
def test_another_decision_does_not_exist(reviewer, receive, refused, action):
    assert "A decision is to approve" in said_by(refused(receive(), action))[0]


def test_more_than_the_estimate_is_refused_to_a_reviewer(reviewer, receive, refused):
    page = refused(receive(), "approve", points="1001")

    assert said_by(page) == [
        "Only an owner or a manager may give more than the estimated 1000 points."
    ]
    assert form_of(page)["points"] == ["1001"]


def test_a_manager_gives_more_but_not_far_more(client, cast, receive, decide, refused, settings):
    settings.ADJUSTMENT_SECOND_PERSON_ABOVE = 100
    client.force_login(cast.manager)
    receipt = receive()

    refused(receipt, "approve", points="1101")
    decide(receipt, "approve", points="1100")

    assert Receipt.objects.get().points_awarded == 1100


def test_a_receipt_that_was_paid_before_is_not_paid_again(reviewer, receive, decide, refused):
    paid = receive()
    decide(paid, "approve", points="1000")
    again = receive(
        receipt_number=paid.receipt_number, issued_at=paid.issued_at, read_as=paid.read_as
    )

    page = refused(again, "approve", points="1000")

    assert f"This receipt was paid before, as upload {paid.pk}." in text_of(page)


def test_sent_twice_it_is_decided_once(reviewer, receive, decide, refused):
    receipt = receive()
    decide(receipt, "approve", points="1000")

    page = refused(receipt, "approve", points="1000")

    assert said_by(page)[-1] == "This receipt is already reviewed."
    assert "Approved with 1000 points" in text_of(page)
    assert PointsEntry.objects.count() == 1


# --- Who may --------------------------------------------------------------------------------------
def test_another_shops_receipt_is_not_there(client, reviewer, decide):
    foreign = make_receipt()
    before = everything()

    assert client.get(page_of(foreign)).status_code == 404
    assert decide(foreign, "approve", points="1").status_code == 404
    assert decide(foreign, "reject", reason="x").status_code == 404
    assert everything() == before
    for nothing in ("0", "x", "9" * 30):
        assert client.get(f"{LIST}{nothing}/change/").status_code == 404


@pytest.mark.parametrize("role", ["cashier", "auditor"])
def test_who_may_only_look_decides_nothing(client, cast, receive, decide, role):
    person = getattr(cast, role)
    client.force_login(give_by_hand(person, "view_receipt") if role == "cashier" else person)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    receipt = receive()
    before = everything()

    page = client.get(page_of(receipt))

    assert "You may look at this receipt, but not decide about it." in text_of(page)
    assert "waits for your decision" not in text_of(page)
    assert decide(receipt, "approve", points="1").status_code == 403
    assert everything() == before


def test_the_permission_does_not_make_a_cashier_a_reviewer(client, cast, receive, decide):
    client.force_login(give_by_hand(cast.cashier, "view_receipt", "review_receipt"))
    receipt = receive()
    before = everything()

    assert decide(receipt, "approve", points="1").status_code == 403
    assert everything() == before


def test_who_may_not_see_receipts_decides_nothing(client, cast, receive, decide):
    client.force_login(give_by_hand(cast.cashier, "review_receipt"))
    receipt = receive()
    before = everything()

    assert client.get(page_of(receipt)).status_code == 404
    assert decide(receipt, "approve", points="1").status_code == 404
    assert everything() == before


def test_a_customer_is_sent_to_the_sign_in(client, cast, receive, decide):
    client.force_login(cast.customer)
    receipt = receive()
    before = everything()

    for answer in (client.get(page_of(receipt)), decide(receipt, "approve", points="1")):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")
    assert everything() == before


# --- The next one ---------------------------------------------------------------------------------
def test_the_next_one_is_the_oldest_after_this_and_skipped_ones_come_back(
    client, reviewer, receive, decide
):
    first, second, third = receive(), receive(), receive()

    assert f'href="{page_of(second)}"' in client.get(page_of(first)).content.decode()
    assert decide(second, "reject", reason="x")["Location"] == page_of(third)
    assert decide(third, "reject", reason="x")["Location"] == page_of(first)
    answer = decide(first, "reject", reason="x")
    assert answer["Location"] == LIST
    assert said_by(answer)[-1] == "No other receipt waits for you."


def test_what_cannot_be_decided_is_not_in_the_queue(client, reviewer, receive):
    make_receipt()  # of another shop
    receive(person=reviewer)
    receive(process=ProcessStatus.PENDING)
    receive(process=ProcessStatus.PROCESSING)
    make_decided(shop=receive().shop)
    unread = receive(process=ProcessStatus.FAILED)

    waiting = queue.waiting_for(reviewer_for(reviewer))

    assert list(waiting.order_by("pk"))[1:] == [unread]
    assert waiting.count() == 2
    assert "2 receipts wait for your decision." in text_of(client.get(page_of(unread)))


def test_platform_staff_reviews_at_every_shop(cast, receive):
    receipt, elsewhere = receive(), make_receipt()

    staff = reviewer_for(cast.staff)

    assert queue.next_for(staff, after=receipt) == elsewhere
    assert queue.next_for(staff, after=elsewhere) == receipt
    assert staff.reviews_at(elsewhere.shop_id)


def test_a_reviewer_of_two_shops_has_one_queue(cast, receive):
    receipt, elsewhere = receive(), make_receipt()
    reviewer = make_reviewer(cast.shop)
    elsewhere.shop.members.create(person=reviewer, role="reviewer")

    assert queue.next_for(reviewer_for(reviewer), after=receipt) == elsewhere


# --- Languages ------------------------------------------------------------------------------------
def test_the_page_speaks_one_language(client, reviewer, receive):
    receipt = receive(created_at=timezone.now() - timedelta(days=1))

    english = text_of(client.get(page_of(receipt)))
    chinese = text_of(client.get(page_of(receipt), headers={"Accept-Language": "zh-CN"}))

    assert set(CHINESE.findall(english)) == {"简体中文"}
    with translation.override("zh-hans"):
        for text in ("Read amount", "Receipt number", "Nothing stands out.", "Reject"):
            assert gettext(text) in chinese
        assert gettext("The picture is too blurred to read.") in chinese
        assert strip_tags(ngettext(
            "<strong>%(waiting)s</strong> receipt waits for your decision.",
            "<strong>%(waiting)s</strong> receipts wait for your decision.",
            1,
        )) % {"waiting": 1} in chinese  # fmt: skip
