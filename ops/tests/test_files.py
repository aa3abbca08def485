"""Stored files, and the addresses that open them."""

import hashlib
from datetime import timedelta

import pytest
from django.core import signing
from django.core.files.storage import default_storage
from django.db import IntegrityError
from django.utils import timezone

from ops.models import FilePurpose, StoredFile
from ops.services import files

pytestmark = pytest.mark.django_db
CONTENT = b"\x89PNG not really"


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


def test_a_file_is_stored_with_the_row_that_knows_it():
    file = make_file()
    assert files.read(file) == CONTENT
    row = StoredFile.objects.get()
    assert (row.owner_id, row.purpose, row.name) == (5, "receipt", "IMG_1.png")
    assert (row.size, row.media_type) == (len(CONTENT), "image/png")
    assert row.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (row.is_temporary, row.expires_at) == (False, None)
    assert str(row) == row.path
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
    file = make_file(expires_at=timezone.now() + timedelta(hours=1))
    other = make_file(expires_at=timezone.now() + timedelta(hours=1))
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
    file, other = make_file(), make_file()
    files.discard(file, other)
    assert not StoredFile.objects.exists()
    assert not default_storage.exists(file.path)
    assert not default_storage.exists(other.path)


def test_temporary_files_go_when_their_time_is_over():
    now = timezone.now()
    over = make_file(expires_at=now)
    kept = [make_file(expires_at=now + timedelta(seconds=1)), make_file()]
    assert files.discard_expired(now=now) == 1
    assert list(StoredFile.objects.order_by("pk")) == kept
    assert not default_storage.exists(over.path)
    assert all(default_storage.exists(file.path) for file in kept)
    assert files.discard_expired(now=now) == 0


def test_a_file_the_storage_lost_says_so():
    file = make_file()
    default_storage.delete(file.path)
    with pytest.raises(FileNotFoundError):
        files.read(file)


# --- Signed addresses ---------------------------------------------------------------------------
def test_a_signed_address_needs_no_header(client):
    file = make_file()
    response = client.get(files.signed_path(file))
    assert response.status_code == 200
    assert response.getvalue() == CONTENT
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "private" in response["Cache-Control"]


def test_it_works_for_a_quarter_of_an_hour(client, settings):
    assert timedelta(minutes=15) == settings.SIGNED_ADDRESS_LIFETIME
    address = files.signed_path(make_file())
    settings.SIGNED_ADDRESS_LIFETIME = timedelta(seconds=-1)  # 15 minutes have gone by
    assert client.get(address).status_code == 404


def test_no_other_file_can_be_had_with_it(client):
    mine, others = make_file(), make_file(owner_id=6)
    token = files.signed_path(mine).removeprefix("/files/")
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
    file, lost = make_file(), make_file()
    address = files.signed_path(file)
    files.discard(file)
    assert client.get(address).status_code == 404
    default_storage.delete(lost.path)
    assert client.get(files.signed_path(lost)).status_code == 404


def test_private_files_are_not_served_by_their_path(client):
    file = make_file()
    assert client.get(f"/media/{file.path}").status_code == 404
    assert client.get(f"/static/{file.path}").status_code == 404
