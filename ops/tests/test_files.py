"""Stored files, and the addresses that open them."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.core import signing
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from catalog.models import ProductImage
from catalog.tests.factories import make_product
from ops.errors import Unavailable
from ops.models import FailedRow, FilePurpose, StoredFile
from ops.services import files
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock
from tests.races import race

pytestmark = pytest.mark.django_db
CONTENT = b"\x89PNG not really"
HOUR = timedelta(hours=1)


def make_file(**fields):
    return files.store(
        **{
            "content": CONTENT,
            "purpose": FilePurpose.RECEIPT,
            "media_type": "image/png",
            "owner_id": 5,
            "name": "IMG_1.png",
            **fields,
        }
    )


def make_temporary():
    return make_file(expires_at=timezone.now() + HOUR)


def later():
    return timezone.now() + 2 * HOUR


def test_a_file_is_stored_with_the_row_that_knows_it():
    file = make_file()
    assert files.read(file) == CONTENT
    row = StoredFile.objects.get()
    assert (row.owner_id, row.purpose, row.name) == (5, "receipt", "IMG_1.png")
    assert (row.size, row.media_type) == (len(CONTENT), "image/png")
    assert row.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (row.is_temporary, row.expires_at) == (False, None)
    assert str(row) == row.name
    assert row.path.startswith(f"receipt/{timezone.localdate():%Y/%m}/")
    assert row.path.endswith(".png")
    assert "IMG_1" not in row.path


def test_names_cannot_be_guessed_and_never_meet():
    assert len({make_file().path for _ in range(5)}) == 5


def test_odd_names_and_types_do_no_harm():
    file = make_file(name="x" * 300, media_type="application/x-sh")
    assert file.name == "x" * 255
    assert file.path.endswith(".bin")


def test_a_temporary_file_knows_its_end_and_can_be_kept():
    file, other = make_temporary(), make_temporary()
    assert file.is_temporary
    files.make_permanent(file)
    file.refresh_from_db()
    other.refresh_from_db()
    assert (file.is_temporary, file.expires_at) == (False, None)
    assert other.is_temporary
    assert other.expires_at


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [({"purpose": "x"}, "storedfile_purpose_known"), ({"is_temporary": True}, "temporary_expires")],
)
def test_the_database_refuses_a_wrong_row(fields, constraint):
    row = {"purpose": "other", "path": "x", "media_type": "", "size": 1, "sha256": "", **fields}
    with pytest.raises(IntegrityError, match=constraint):
        StoredFile.objects.create(**row)


def test_discarding_takes_row_and_file():
    file, other = make_temporary(), make_temporary()
    files.discard(file, other)
    assert not StoredFile.objects.exists()
    assert not default_storage.exists(file.path)
    assert not default_storage.exists(other.path)


def test_discarding_leaves_what_is_permanent_and_what_is_gone():
    file, gone = make_file(), make_temporary()
    StoredFile.objects.filter(pk=gone.pk).delete()
    files.discard(file, gone)
    assert StoredFile.objects.get() == file
    assert default_storage.exists(file.path)


def test_a_file_whose_time_is_over_cannot_be_kept():
    """Its bytes may be gone already: whoever was that slow has to send them again."""
    file, other = make_temporary(), make_temporary()
    StoredFile.objects.filter(pk=file.pk).update(expires_at=timezone.now())
    with pytest.raises(Unavailable), transaction.atomic():
        files.make_permanent(file, other)
    assert StoredFile.objects.filter(is_temporary=True).count() == 2


# --- The job that takes them away ---------------------------------------------------------------
def test_temporary_files_go_when_their_time_is_over():
    now = timezone.now()
    over = make_file(expires_at=now)
    kept = [make_file(expires_at=now + timedelta(seconds=1)), make_file()]
    assert files.discard_expired(now=now) == 1
    assert list(StoredFile.objects.order_by("pk")) == kept
    assert not default_storage.exists(over.path)
    assert all(default_storage.exists(file.path) for file in kept)
    assert files.discard_expired(now=now) == 0


def test_a_file_that_cannot_be_taken_away_stops_no_other(monkeypatch, caplog):
    needed, unreachable, fine = (make_temporary() for _ in range(3))
    ProductImage.objects.create(product=make_product(), file=needed, thumbnail=needed, position=0)
    delete = FileSystemStorage.delete

    def fail_at_one(storage, name):
        if name == unreachable.path:
            raise OSError("storage is away")
        delete(storage, name)

    monkeypatch.setattr(FileSystemStorage, "delete", fail_at_one)

    assert files.discard_expired(now=later()) == 1

    assert list(StoredFile.objects.order_by("pk")) == [needed, unreachable]
    assert default_storage.exists(needed.path)
    assert not default_storage.exists(fine.path)
    failed = FailedRow.objects.order_by("pk")
    assert [(one.job, one.row_id, one.error) for one in failed] == [
        ("expired files", str(needed.pk), "ProtectedError"),
        ("expired files", str(unreachable.pk), "OSError"),
    ]
    assert caplog.text.count("failed at row") == 2


class Killed(BaseException):
    """The process ended at this moment."""


@pytest.mark.parametrize("is_gone", [False, True], ids=["before the file went", "after it"])
@pytest.mark.parametrize(
    "take_away",
    [lambda file: files.discard_expired(now=later()), files.discard],
    ids=["job", "request"],
)
def test_a_kill_in_between_leaves_nothing_for_ever(monkeypatch, take_away, is_gone):
    file, delete = make_temporary(), FileSystemStorage.delete

    def be_killed(storage, name):
        if is_gone:
            delete(storage, name)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", be_killed)
        with pytest.raises(Killed):
            take_away(file)

    assert files.discard_expired(now=later()) == 1
    assert not StoredFile.objects.exists()
    assert not default_storage.exists(file.path)


def expire_while_it_is_kept():
    """The job finds a file that a request makes permanent at this moment; returns the file."""
    file = make_temporary()
    with elsewhere(autocommit=False) as other:
        with other.cursor() as cursor:
            cursor.execute("UPDATE ops_storedfile SET is_temporary = false, expires_at = NULL")
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(race, [partial(files.discard_expired, now=later())])
            wait_until(waiting_for_a_lock)
            other.commit()
            job.result(10)
    return file


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_kept_at_the_last_moment_stays():
    file = expire_while_it_is_kept()
    assert StoredFile.objects.get() == file
    assert default_storage.exists(file.path)
    assert not FailedRow.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_the_lock_it_is_lost(monkeypatch):
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows: rows)
    file = expire_while_it_is_kept()
    assert not StoredFile.objects.exists()
    assert not default_storage.exists(file.path)


def test_a_file_the_storage_lost_says_so():
    file = make_file()
    default_storage.delete(file.path)
    with pytest.raises(FileNotFoundError):
        files.read(file)


# --- Signed addresses ---------------------------------------------------------------------------
def test_a_signed_address_needs_no_header(client):
    file = make_file()
    response = client.get(files.signed_path(file.pk))
    assert response.status_code == 200
    assert response.getvalue() == CONTENT
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "private" in response["Cache-Control"]


def test_it_works_for_a_quarter_of_an_hour(client, settings):
    assert timedelta(minutes=15) == settings.SIGNED_ADDRESS_LIFETIME
    address = files.signed_path(make_file().pk)
    settings.SIGNED_ADDRESS_LIFETIME = timedelta(seconds=-1)  # 15 minutes have gone by
    assert client.get(address).status_code == 404


def test_no_other_file_can_be_had_with_it(client):
    mine, others = make_file(), make_file(owner_id=6)
    token = files.signed_path(mine.pk).removeprefix("/files/")
    pk, moment, signature = token.split(":")
    assert pk == str(mine.pk)
    for forged in (
        f"{others.pk}:{moment}:{signature}",
        f"{pk}:{moment}:{signature[:-2]}xx",
        f"{pk}:zzzzzz:{signature}",
        f"{pk}:{moment}",
        str(pk),
        "garbage",
        signing.TimestampSigner(salt="another purpose").sign(pk),
        signing.TimestampSigner(key="another key", salt="ops.files").sign(pk),
    ):
        assert client.get(f"/files/{forged}").status_code == 404
        assert files.by_signed_token(forged) is None
    assert files.by_signed_token(token) == mine


def test_an_address_of_a_file_that_is_gone_is_404(client):
    file, lost = make_temporary(), make_file()
    address = files.signed_path(file.pk)
    files.discard(file)
    assert client.get(address).status_code == 404
    default_storage.delete(lost.path)
    assert client.get(files.signed_path(lost.pk)).status_code == 404


def test_private_files_are_not_served_by_their_path(client):
    file = make_file()
    assert client.get(f"/media/{file.path}").status_code == 404
    assert client.get(f"/static/{file.path}").status_code == 404
