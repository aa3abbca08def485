"""An upload while the storage is away, wherever on its way it is: 1503, and nothing of it stays."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from catalog.tests.factories import make_shop
from ops.models import IdempotencyRecord, StoredFile
from ops.services import files
from ops.tests.storages import folder_failing, small_s3
from reviews.models import ProcessRecord, Receipt
from reviews.services.uploads import uploads_left_today
from reviews.tests.factories import make_file
from tests.api import client_of, data_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

# Of the two pictures of a receipt: the first, or the thumbnail when the first one is written.
STEPS = [
    pytest.param(fails, after, id=f"{' and '.join(fails)} after {after}")
    for fails in (("save",), ("half",), ("half", "delete"))
    for after in (0, 1)
]


@pytest.fixture
def person():
    make_shop()
    return make_person()


def send(person, image, **headers):
    form = {"image": SimpleUploadedFile("a.jpg", image), "amount": "128.50"}
    return client_of(person).post(
        "/api/photo/upload", form, format="multipart", headers={"Idempotency-Key": "k", **headers}
    )


def assert_nothing_stays(person):
    """What is left of it is temporary, and the job takes that away when its time is over."""
    assert uploads_left_today(person) == settings.UPLOADS_A_DAY
    assert not Receipt.objects.exists()
    assert not ProcessRecord.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    assert not StoredFile.objects.filter(is_temporary=False).exists()
    files.discard_expired(now=timezone.now() + timedelta(hours=2))
    assert not StoredFile.objects.exists()


def files_in_the_folder():
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


@pytest.mark.parametrize(("fails", "after"), STEPS)
def test_an_upload_into_a_folder_that_is_away_is_1503(person, fails, after):
    image = make_file()
    with folder_failing(*fails, after=after):
        response = send(person, image)
        assert refused(response, 1503) is None
    assert_nothing_stays(person)
    assert not files_in_the_folder()
    assert "Idempotent-Replay" not in send(person, image)
    assert len(files_in_the_folder()) == 2


@pytest.mark.parametrize("status", [503, 403, 0], ids=["busy", "forbidden", "connections break"])
def test_an_upload_into_a_bucket_that_is_away_is_1503(person, status):
    image = make_file()
    with small_s3() as server:
        server.refuses = dict.fromkeys(("HEAD", "PUT", "DELETE"), status)
        refused(send(person, image), 1503)
        server.refuses = {}
        assert_nothing_stays(person)
        assert not server.objects
        data_of(send(person, image))
        assert len(server.objects) == 2


def test_a_refusal_stays_one_while_the_storage_is_away(person):
    image = make_file()
    first = data_of(send(person, image))
    with folder_failing("delete"):
        again = send(person, image, **{"Idempotency-Key": "another"})
    assert again.json()["code"] == 5006
    assert again.json()["data"] == {"upload_id": first["upload_id"]}
    assert StoredFile.objects.filter(is_temporary=True).count() == 2
    files.discard_expired(now=timezone.now() + timedelta(hours=2))
    assert StoredFile.objects.count() == len(files_in_the_folder()) == 2


def test_an_answer_given_again_needs_no_storage_that_takes_away(person):
    image = make_file()
    first = send(person, image)
    with folder_failing("delete"):
        again = send(person, image)
    assert again["Idempotent-Replay"] == "true"
    assert data_of(again) == data_of(first)
