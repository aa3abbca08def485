import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.messages import get_messages
from django.urls import reverse

from accounts.models import PointsEntry
from reviews import risk
from reviews.models import Receipt
from reviews.tests.factories import everything, make_decided, make_receipt, make_reviewer
from tests.people import make_person

pytestmark = pytest.mark.django_db

LIST = "/admin/reviews/receipt/"


@pytest.fixture
def administrator(client):
    person = make_person(username="root", is_staff=True, is_superuser=True)
    client.force_login(person)
    return person


@pytest.fixture
def act(client):
    """Choose an action for receipts; the answer, and what the page then says."""

    def post(action, *receipts, **fields):
        response = client.post(
            LIST,
            {
                "action": action,
                ACTION_CHECKBOX_NAME: [receipt.pk for receipt in receipts],
                **fields,
            },
        )
        return response, [str(message) for message in get_messages(response.wsgi_request)]

    return post


def test_the_list_shows_thumbnails_and_risk(client, administrator, django_assert_max_num_queries):
    receipt = make_receipt(risk_score=77)
    for _ in range(5):
        make_receipt()

    with django_assert_max_num_queries(12):
        page = client.get(LIST)

    assert page.status_code == 200
    assert page.content.decode().count('<img src="/files/') == 6
    assert "77" in page.content.decode()
    assert str(receipt.pk) in page.content.decode()


def test_the_detail_shows_what_was_read_and_cannot_be_edited(client, administrator):
    reason = risk.Reason("seen_before", {"upload_id": 4711})
    receipt = make_receipt(receipt_number="A4711", risk_reasons=[reason.stored()])
    address = reverse("admin:reviews_receipt_change", args=[receipt.pk])

    page = client.get(address)

    assert page.status_code == 200
    text = page.content.decode()
    assert "A4711" in text
    assert reason.text in text
    assert '<img src="/files/' in text
    before = Receipt.objects.values().get()
    assert client.post(address, {"status": "approved", "points_awarded": 100}).status_code == 403
    assert Receipt.objects.values().get() == before
    assert client.get("/admin/reviews/receipt/add/").status_code == 403
    delete = reverse("admin:reviews_receipt_delete", args=[receipt.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("decided", [False, True])
def test_a_receipt_without_risk_has_a_page(client, administrator, decided):
    receipt = make_decided() if decided else make_receipt(read=False)

    assert client.get(f"{LIST}{receipt.pk}/change/").status_code == 200


def test_approving_does_what_the_api_does(act, administrator):
    good, other, done = make_receipt(), make_receipt(), make_decided("rejected")
    own = make_receipt(person=administrator)

    response, said = act("approve", good, other, done, own)

    assert response.status_code == 302
    assert len(said) == 3
    assert [line.split(" ")[0] for line in sorted(said) if line.startswith("#")] == sorted(
        [f"#{done.pk}", f"#{own.pk}"]
    )
    assert sorted(PointsEntry.objects.values_list("related_id", "points")) == sorted(
        [(str(good.pk), 1000), (str(other.pk), 1000)]
    )
    _response, said_since = act("approve", done)
    assert len(said_since) == len(said) + 1
    good.refresh_from_db()
    assert (good.status, good.reviewer) == ("approved", administrator)


def test_rejecting_asks_for_a_reason_first(act, administrator):
    receipt = make_receipt()
    before = everything()

    page, said = act("reject", receipt)

    assert (page.status_code, said) == (200, [])
    text = page.content.decode()
    assert '<textarea name="reason"' in text
    assert f'name="{ACTION_CHECKBOX_NAME}" value="{receipt.pk}"' in text
    assert everything() == before
    page, said = act("reject", receipt, reason="  ")
    assert (page.status_code, said) == (200, [])
    assert everything() == before

    response, said = act("reject", receipt, reason="Not ours")

    assert (response.status_code, len(said)) == (302, 1)
    receipt.refresh_from_db()
    assert (receipt.status, receipt.review_reason) == ("rejected", "Not ours")
    assert receipt.reviewer == administrator


def test_staff_that_may_only_look_decides_nothing(client, act, cast):
    client.force_login(cast.auditor)
    receipt = make_receipt()
    before = everything()

    assert client.get(LIST).status_code == 200
    act("approve", receipt)
    act("reject", receipt, reason="x")

    assert everything() == before


def test_staff_that_works_at_a_shop_decides_there_alone(client, act):
    receipt, foreign = make_receipt(), make_receipt()
    client.force_login(make_reviewer(receipt.shop))

    _response, said = act("approve", receipt, foreign)

    assert said == ["通过：1"], "the other shop's receipt is not in the list"
    foreign.refresh_from_db()
    assert foreign.status == "pending"
    assert PointsEntry.objects.get().related_id == str(receipt.pk)


def test_the_jobs_are_shown(client, administrator):
    record = make_receipt().process_records.get()

    assert client.get("/admin/reviews/processrecord/").status_code == 200
    assert client.get(f"/admin/reviews/processrecord/{record.pk}/change/").status_code == 200
    assert client.get("/admin/reviews/processrecord/add/").status_code == 403
