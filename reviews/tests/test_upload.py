import io
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import BoundedSemaphore

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from PIL import Image

from accounts.models import Tier
from accounts.services.profile import facts
from accounts.tests.factories import sign_in
from catalog.tests.factories import make_shop
from ops.api.throttle import UploadThrottle
from ops.days import seconds_left
from ops.errors import ValidationFailed
from ops.models import StoredFile
from ops.services import files, pictures
from ops.tests.picture_samples import flat_png, scan_bomb
from reviews.errors import SubmittedBefore, UploadQuotaUsed
from reviews.models import ProcessRecord, ProcessStatus, Receipt, ReceiptStatus
from reviews.photos import check_photo
from reviews.services import uploads
from reviews.services.process import process_receipt
from reviews.tests.factories import (
    everything,
    make_decided,
    make_file,
    make_photo,
    make_receipt,
    upload,
)
from tests.api import answer_of, client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

PATH = "/api/photo/upload"


@pytest.fixture
def shop():
    return make_shop()


def send(person, *, image=b"", amount="128.50", shop_id=None, key=None):
    """Post a form as a phone does; `None` leaves a field out."""
    form = {
        "image": None if image is None else SimpleUploadedFile("a.jpg", image or make_file()),
        "amount": amount,
        "shop_id": shop_id,
    }
    return client_of(person).post(
        PATH,
        {name: value for name, value in form.items() if value is not None},
        format="multipart",
        headers={"Idempotency-Key": key} if key else {},
    )


@pytest.fixture
def refused_unchanged(stored_files):
    """Post a form that is refused_unchanged, and prove that the refusal left nothing behind."""

    def post(person, **form):
        before, files_before = everything(), stored_files()
        left = uploads.uploads_left_today(person)
        refusal = refusal_of(send(person, **form))
        assert everything() == before
        assert stored_files() == files_before
        assert uploads.uploads_left_today(person) == left
        return refusal

    return post


# --- What is answered ---------------------------------------------------------------------------
def test_an_upload_is_answered_at_once(shop, stored_files, fetch):
    person = make_person()

    data = data_of(send(person))

    receipt, record = Receipt.objects.get(), ProcessRecord.objects.get()
    image_url, thumbnail_url = data.pop("image_url"), data.pop("thumbnail_url")
    assert data.pop("message")
    assert data == {
        "upload_id": receipt.pk,
        "estimated_points": 1285,
        "review_status": "pending",
        "recognized_amount": None,
        "task_id": record.pk,
    }
    assert (receipt.person, receipt.shop, receipt.status) == (person, shop, "pending")
    assert receipt.input_amount == Decimal("128.50")
    assert (record.receipt, record.status, record.progress) == (receipt, "pending", 0)
    assert len(stored_files()) == 2
    for address in (image_url, thumbnail_url):
        assert address.startswith("http://testserver/files/")
        assert fetch(address).startswith(b"\xff\xd8\xff")


def test_an_upload_takes_few_statements(
    shop, django_assert_num_queries, django_capture_on_commit_callbacks
):
    person, photo = make_person(), make_photo()
    upload(person)

    # Two files; the shop; in a savepoint of the request's transaction the same file before, the
    # person, today's uploads, the tiers, the receipt in a savepoint of its own, the files kept,
    # the process; its task.
    with (
        django_assert_num_queries(2 + 1 + (2 + 4 + 3 + 2) + 1),
        django_capture_on_commit_callbacks(execute=True),
    ):
        upload(person, photo=photo)


def test_an_upload_with_a_key_takes_twenty_four_statements_at_most(
    shop, django_assert_max_num_queries, django_capture_on_commit_callbacks
):
    client = client_of()
    sign_in(client)
    form = {"image": SimpleUploadedFile("a.jpg", make_file()), "amount": "1"}

    with (
        django_assert_max_num_queries(24),
        django_capture_on_commit_callbacks(execute=True) as callbacks,
    ):
        data_of(client.post(PATH, form, format="multipart", headers={"Idempotency-Key": "k1"}))

    assert callbacks


def test_the_pictures_are_kept_for_good(shop):
    person = make_person()

    send(person)

    for file in StoredFile.objects.all():
        assert (file.is_temporary, file.expires_at, file.owner_id) == (False, None, person.pk)
    assert {file.purpose for file in StoredFile.objects.all()} == {"receipt", "receipt_thumbnail"}


def test_an_upload_is_queued_once_it_is_committed(shop, django_capture_on_commit_callbacks, pushes):
    with django_capture_on_commit_callbacks() as callbacks:
        receipt = upload(make_person())
    assert not DBTaskResult.objects.exists()

    for callback in callbacks:
        callback()

    record = receipt.process
    task = DBTaskResult.objects.get()
    assert task.task_path == process_receipt.module_path
    assert task.args_kwargs["args"] == [record.pk]
    (event,) = pushes.take(1)
    assert (event["type"], event["owner_id"]) == ("upload_progress", receipt.person_id)
    timestamp = event["data"].pop("timestamp")
    assert datetime.fromisoformat(timestamp).utcoffset() == timedelta(hours=8)
    assert event["data"] == {
        "upload_id": receipt.pk,
        "task_id": record.pk,
        "status": "pending",
        "progress": 0,
        "recognized_amount": None,
    }


@pytest.mark.parametrize(
    ("amount", "multiplier", "points"),
    [
        ("128.50", None, 1285),
        ("0.01", None, 0),
        ("0.19", None, 1),
        ("9999.99", "1.25", 124_999),
        ("33.33", "1.10", 366),
        ("1", "9.99", 99),
    ],
)
def test_the_estimate_is_exact_and_rounded_down(shop, amount, multiplier, points):
    person = make_person(lifetime_points=600)
    Tier.objects.create(name="basic", threshold=0, multiplier=1)
    Tier.objects.create(name="reached", threshold=600, multiplier=Decimal(multiplier or 1))
    Tier.objects.create(name="beyond", threshold=601, multiplier=9)

    receipt = upload(person, amount=amount)

    assert receipt.estimated_points == points
    assert receipt.multiplier == Decimal(multiplier or 1)
    assert receipt.points_per_yuan == 10


def test_without_tiers_the_multiplier_is_one(shop, settings):
    settings.POINTS_PER_YUAN = 3

    receipt = upload(make_person(), amount="10.50")

    assert (receipt.multiplier, receipt.estimated_points) == (1, 31)


# --- Shape --------------------------------------------------------------------------------------
TEXT = b"this is a text, whatever its name says"
BIG = 10 * 1024 * 1024 + 1


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"image": None}, (400, 5001)),
        ({"image": None, "amount": "wrong"}, (400, 5001)),
        ({"image": TEXT + b"\0" * BIG, "amount": "wrong"}, (413, 5004)),
        ({"image": TEXT, "amount": "wrong"}, (400, 5003)),
        ({"image": make_file(image_format="GIF"), "amount": "1"}, (400, 5003)),
        ({"image": make_file()[:400], "amount": "wrong"}, (400, 5005)),
        ({"image": make_file(image_format="PNG")[:-1], "amount": "wrong"}, (400, 5005)),
        ({"image": scan_bomb((1200, 900), 3000), "amount": "wrong"}, (400, 5005)),
        ({"image": flat_png(8001, 5000, colour=0, depth=1)}, (400, 5005)),
        ({"image": flat_png(1, 60_000)}, (400, 5005)),
        ({"amount": "wrong"}, (400, 5002)),
    ],
)
def test_the_shape_is_refused_in_the_order_of_the_contract(refused_unchanged, shop, form, expected):
    assert refused_unchanged(make_person(), **form) == (*expected, None)


def test_an_empty_file_is_no_image(shop):
    form = {"image": SimpleUploadedFile("a.jpg", b""), "amount": "1"}

    response = client_of(make_person()).post(PATH, form, format="multipart")

    assert refusal_of(response).code == 5001


@pytest.mark.parametrize("body", ["[]", '[{"image": "a", "amount": "1"}]', "null", "5", '"image"'])
def test_a_body_that_is_no_object_has_no_image_either(shop, body):
    response = client_of(make_person()).post(PATH, body, content_type="application/json")

    assert refusal_of(response) == (400, 5001, None)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_without_files_has_no_image(shop, content_type):
    body = '{"image": "a", "amount": "1"}' if "json" in content_type else "image=a&amount=1"

    response = client_of(make_person()).post(PATH, body, content_type=content_type)

    assert refusal_of(response) == (400, 5001, None)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"\xff\xd8\xff", "image/jpeg", (415, 1016)),
        (b"nothing", "multipart/form-data", (400, 1017)),
    ],
)
def test_other_bodies_cannot_be_read(shop, body, content_type, expected):
    response = client_of(make_person()).generic("POST", PATH, body, content_type=content_type)

    refusal = refusal_of(response)
    assert (refusal.status, refusal.code) == expected


@pytest.mark.parametrize("form", [{"amount": "1" * BIG}, {"image": "x" * BIG, "amount": "1"}])
def test_up_to_64_megabytes_it_is_the_image_that_is_too_large(shop, form):
    response = client_of(make_person()).post(PATH, form, format="multipart")

    assert refusal_of(response) == (413, 5004, None)


def test_a_body_beyond_64_megabytes_is_not_read(shop):
    response = client_of(make_person()).generic(
        "POST",
        PATH,
        "",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=64 * 1024 * 1024 + 1,
    )

    refusal = refusal_of(response)
    assert (refusal.status, refusal.code) == (413, 1018)


@pytest.mark.parametrize("amount", ["0.01", "1", "1.5", "9999.99", "0012", "0.10"])
def test_amounts_are_taken_as_people_type_them(shop, amount):
    assert answer_of(send(make_person(), amount=amount)).code == 0
    assert Receipt.objects.get().input_amount == Decimal(amount)


@pytest.mark.parametrize(
    "amount",
    [
        *[None, "", "0", "0.00", "10000", "00012", "9999.999", "1.", ".5", "1,5", "-1", "+1"],
        *["1e2", " 1", "1 ", "1\n", "1.5\n", "１２", "१२", "١٢", "abc", "NaN", "Infinity", "0x1"],
        *["￥12", "1_0", "1\0", "12.345"],
    ],
)
def test_other_amounts_are_refused(refused_unchanged, shop, amount):
    assert refused_unchanged(make_person(), amount=amount) == (400, 5002, None)


def test_a_stranger_uploads_nothing(shop, stored_files):
    refusal = refusal_of(client_of().post(PATH, {"amount": "1"}, format="multipart"))

    assert (refusal.status, refusal.code) == (401, 1006)


# --- How many a minute --------------------------------------------------------------------------
@pytest.fixture
def two_a_minute(settings):
    settings.REQUESTS_PER_PERSON, settings.UPLOADS_PER_PERSON = "9/min", "2/min"


def test_each_photo_counts_and_the_next_is_refused_unread(two_a_minute, refused_unchanged, shop):
    person = make_person()
    assert refused_unchanged(person, image=TEXT).code == 5003
    data_of(send(person))

    # Before the shape, whatever it is.
    for form in ({}, {"image": TEXT}, {"image": None, "amount": "wrong"}):
        refusal = refused_unchanged(person, **form)
        assert (refusal.status, refusal.code) == (429, 1013)
    response = send(person)
    assert 0 < int(response["Retry-After"]) <= 60
    data_of(client_of(person).get("/api/photo/history"))
    data_of(send(make_person()))


def test_a_photo_over_the_rate_is_not_even_parsed(two_a_minute, shop):
    person = make_person()
    for _ in range(2):
        send(person, image=TEXT)

    response = client_of(person).generic("POST", PATH, "", content_type="image/jpeg")

    assert refusal_of(response).code == 1013


def test_strangers_are_told_to_sign_in_first(two_a_minute, shop):
    for _ in range(3):
        assert refusal_of(send(None)).code == 1006


def test_the_rate_is_sixty_a_minute(settings):
    assert settings.UPLOADS_PER_PERSON == UploadThrottle().get_rate() == "60/min"


# --- Many at once -------------------------------------------------------------------------------
def test_when_too_many_photos_wait_nothing_is_changed(monkeypatch, refused_unchanged, shop):
    monkeypatch.setattr(pictures, "_waiting", BoundedSemaphore(1))
    pictures._waiting.acquire()
    person = make_person()

    refusal = refused_unchanged(person)

    assert (refusal.status, refusal.code) == (503, 1503)
    assert int(send(person)["Retry-After"]) > 0


def test_a_photo_waits_among_those_of_its_sender(monkeypatch, shop):
    joined = []

    class Noting(pictures._Line):
        """A line that notes whose turns join it."""

        def join(self, owner_id, turn):
            joined.append(owner_id)
            super().join(owner_id, turn)

    monkeypatch.setattr(pictures, "_line", Noting())
    person = make_person()

    assert answer_of(send(person)).code == 0
    assert joined == [person.pk]


# --- Which shop ---------------------------------------------------------------------------------
def test_one_of_several_shops_is_named(shop):
    other = make_shop()

    assert answer_of(send(make_person(), shop_id=str(other.pk))).code == 0

    assert Receipt.objects.get().shop == other


def test_closed_shops_do_not_count(shop):
    make_shop(is_open=False)

    assert answer_of(send(make_person())).code == 0

    assert Receipt.objects.get().shop == shop


@pytest.mark.parametrize("shop_id", ["0", "-1", "999999", "abc", "1.0", "9" * 30, "１", None])
def test_any_other_shop_is_refused(refused_unchanged, shop, shop_id):
    make_shop()
    person = make_person()
    photo = make_file()
    upload(person, photo=check_photo(photo), shop=shop)

    # Existence comes before state: the file was submitted before as well.
    refusal = refused_unchanged(person, shop_id=shop_id, image=photo)

    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["shop_id"])


def test_a_closed_shop_is_refused(refused_unchanged, shop):
    closed = make_shop(is_open=False)

    refusal = refused_unchanged(make_person(), shop_id=str(closed.pk))

    assert (refusal.status, refusal.code) == (400, 1011)


# --- The same file ------------------------------------------------------------------------------
def test_the_same_file_is_taken_once(refused_unchanged, shop):
    person, image = make_person(), make_file()
    first = data_of(send(person, image=image))["upload_id"]

    assert refused_unchanged(person, image=image, amount="1") == (409, 5006, {"upload_id": first})
    assert refused_unchanged(make_person(), image=image) == (409, 5006, None)


def test_what_was_rejected_may_be_sent_once_more_by_its_owner(refused_unchanged, shop):
    person, image = make_person(), make_file()
    photo = check_photo(image)
    first = make_decided(ReceiptStatus.REJECTED, person=person, sha256=photo.sha256, shop=shop)
    assert refused_unchanged(make_person(), image=image) == (409, 5006, None)

    second = upload(person, photo=photo)

    assert second.pk != first.pk
    assert second.submission == 2
    assert refused_unchanged(person, image=image) == (409, 5006, {"upload_id": second.pk})
    assert refused_unchanged(make_person(), image=image) == (409, 5006, None)
    Receipt.objects.filter(pk=second.pk).update(
        status=ReceiptStatus.REJECTED,
        points_awarded=0,
        reviewer=make_person(),
        reviewed_at=timezone.now(),
        review_reason="again",
    )
    assert refused_unchanged(person, image=image) == (409, 5006, {"upload_id": second.pk})


@pytest.mark.parametrize("status", [ReceiptStatus.PENDING, ReceiptStatus.APPROVED])
def test_what_was_not_rejected_may_not_be_sent_again(shop, status):
    person, photo = make_person(), make_photo()
    make = make_receipt if status == ReceiptStatus.PENDING else make_decided
    first = make(person=person, sha256=photo.sha256, shop=shop)

    with pytest.raises(SubmittedBefore) as refusal:
        upload(person, photo=photo)

    assert refusal.value.data == {"upload_id": first.pk}


def test_the_database_itself_knows_a_file_once(shop):
    make_receipt(sha256="a" * 64)

    with pytest.raises(IntegrityError):
        make_receipt(sha256="a" * 64)


def test_a_failure_that_is_no_refusal_leaves_only_what_expires(shop, stored_files):
    """Nobody knows then whether it was committed: the files are temporary until they are."""
    with pytest.raises(IntegrityError, match="receipt_input_amount_in_range"):
        upload(make_person(), amount="0")

    assert Receipt.objects.count() == 0
    assert len(stored_files()) == 2
    for file in StoredFile.objects.all():
        assert file.is_temporary
        assert file.expires_at is not None


# --- The quota ----------------------------------------------------------------------------------
def test_a_used_quota_ends_the_uploads_of_the_day(settings, refused_unchanged, shop):
    settings.UPLOADS_A_DAY = 2
    person = make_person()
    upload(person)
    assert facts["uploads_left_today"](person) == 1
    upload(person)

    refusal = refused_unchanged(person)

    assert (refusal.status, refusal.code) == (429, 5007)
    assert facts["uploads_left_today"](person) == 0
    upload(make_person())


def test_the_quota_says_when_it_starts_anew(settings, shop):
    settings.UPLOADS_A_DAY = 0
    response = send(make_person())

    refusal = refusal_of(response)
    assert (refusal.status, refusal.code) == (429, 5007)
    assert abs(int(response["Retry-After"]) - seconds_left(timezone.now())) <= 60


def test_the_same_file_is_told_before_the_quota(settings, refused_unchanged, shop):
    settings.UPLOADS_A_DAY = 1
    person, image = make_person(), make_file()
    upload(person, photo=check_photo(image))

    refusal = refused_unchanged(person, image=image)

    assert (refusal.status, refusal.code) == (409, 5006)


def test_a_day_ends_at_midnight_here(shop, settings):
    settings.UPLOADS_A_DAY = 1
    person = make_person()
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    make_receipt(person=person, shop=shop, created_at=midnight - timedelta(microseconds=1))
    assert uploads.uploads_left_today(person) == 1

    make_receipt(person=person, shop=shop, created_at=midnight)

    assert uploads.uploads_left_today(person) == 0


@pytest.mark.parametrize(
    ("fields", "quota"),
    [
        ({}, 20),
        ({"premium_until": date(2999, 1, 1)}, 50),
        ({"premium_until": date(2999, 1, 1), "daily_upload_quota": 3}, 3),
        ({"daily_upload_quota": 0}, 0),
    ],
)
def test_how_many_a_day_depends_on_the_person(fields, quota):
    assert uploads.uploads_left_today(make_person(**fields)) == quota


def test_a_lowered_quota_is_never_negative(shop):
    person = make_person(daily_upload_quota=1)
    make_receipt(person=person)
    make_receipt(person=person)

    assert uploads.uploads_left_today(person) == 0


def test_the_quota_is_that_of_the_row_not_of_the_request(shop):
    person = make_person()
    type(person).objects.filter(pk=person.pk).update(daily_upload_quota=0)

    with pytest.raises(UploadQuotaUsed) as refusal:
        upload(person)

    assert "0" in str(refusal.value)


# --- Once per key -------------------------------------------------------------------------------
def test_a_repeated_key_gives_the_first_answer_and_keeps_no_second_file(shop, stored_files):
    person, image = make_person(), make_file()
    first = send(person, image=image, key="k1")
    names = stored_files()

    second = send(person, image=image, key="k1")

    assert second.headers["Idempotent-Replay"] == "true"
    assert second.json() == first.json()
    assert stored_files() == names
    assert StoredFile.objects.count() == 2
    assert Receipt.objects.count() == 1


def test_a_key_with_another_file_is_refused(refused_unchanged, shop):
    person = make_person()
    send(person, key="k1")

    assert refused_unchanged(person, key="k1") == (422, 1014, None)


def test_a_refusal_frees_the_key(shop, settings):
    settings.UPLOADS_A_DAY = 0
    person, image = make_person(), make_file()
    assert refusal_of(send(person, image=image, key="k1")).code == 5007
    settings.UPLOADS_A_DAY = 1

    response = send(person, image=image, key="k1")

    assert answer_of(response).code == 0
    assert "Idempotent-Replay" not in response.headers


def test_an_unknown_shop_says_so_in_the_service(shop):
    make_shop()

    with pytest.raises(ValidationFailed):
        upload(make_person())


def test_the_pictures_are_upright_and_small(shop):
    exif = Image.Exif()
    exif[0x0112] = 6
    received = make_file(image=Image.new("RGB", (900, 600)), exif=exif)

    receipt = upload(make_person(), photo=check_photo(received))

    for file, size in ((receipt.picture, (600, 900)), (receipt.thumbnail, (320, 480))):
        assert Image.open(io.BytesIO(files.read(file))).size == size
    assert receipt.process.status == ProcessStatus.PENDING
