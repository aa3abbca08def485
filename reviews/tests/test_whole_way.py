"""From the photo to the points, by the API, with nothing between but the queue."""

from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django_tasks_db.models import DBTaskResult

from catalog.tests.factories import make_shop
from ops.services import integrity
from reviews.services import process
from reviews.tests.factories import make_file, make_reviewer
from reviews.tests.scripted_reader import make_reading
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def work(django_capture_on_commit_callbacks):
    """Do what a worker does: everything that is in the queue, in order."""

    def run():
        for queued in DBTaskResult.objects.order_by("enqueued_at"):
            assert queued.task_path == process.process_receipt.module_path
            with django_capture_on_commit_callbacks(execute=True):
                process.process_receipt.call(*queued.args_kwargs["args"])

    return run


def test_an_uploaded_receipt_is_read_approved_and_paid(
    reader, work, pushes, django_capture_on_commit_callbacks
):
    shop = make_shop()
    customer, merchant = make_person(), make_reviewer(shop)
    phone, till = client_of(customer), client_of(merchant)
    reader.script.append(make_reading(amount=Decimal("100.00")))

    with django_capture_on_commit_callbacks(execute=True):
        form = {"image": SimpleUploadedFile("a.jpg", make_file()), "amount": "128.50"}
        uploaded = data_of(phone.post("/api/photo/upload", form, format="multipart"))
    approval = {"upload_id": uploaded["upload_id"], "action": "approve"}
    assert refusal_of(till.post("/api/merchant/review", approval)).code == 6006
    work()
    (waiting,) = data_of(till.get("/api/merchant/reviews", {"status": "pending"}))["items"]
    assert waiting["upload_id"] == uploaded["upload_id"]
    assert (waiting["input_amount"], waiting["recognized_amount"]) == ("128.50", "100.00")
    assert (uploaded["estimated_points"], waiting["estimated_points"]) == (1285, 1000)
    assert [reason["code"] for reason in waiting["risk"]["reasons"]] == ["amount_above_read"]
    with django_capture_on_commit_callbacks(execute=True):
        reviewed = data_of(till.post("/api/merchant/review", approval))

    assert (reviewed["points_awarded"], reviewed["user_new_balance"]) == (1000, 1000)
    (shown,) = data_of(phone.get("/api/photo/history"))["items"]
    assert (shown["review_status"], shown["points_awarded"]) == ("approved", 1000)
    assert shown["task"]["task_id"] == uploaded["task_id"]
    assert [event["type"] for event in pushes.take(6)] == [
        *["upload_progress"] * 4,
        "review_result",
        "points_update",
    ]
    work()
    for name in ("receipts", "points"):
        assert list(integrity.run(name)) == []
