"""A storage that is away: said so, with nothing half written, in a folder and on S3 alike."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.utils import timezone

from ops.errors import Unavailable
from ops.models import FilePurpose, StoredFile
from ops.services import files
from ops.tests.storages import folder_failing, small_s3, storage_of

pytestmark = pytest.mark.django_db
CONTENT = b"\x89PNG not really"
IN_AN_HOUR = timedelta(hours=1)


def make_file(**fields):
    return files.store(
        content=CONTENT, purpose=FilePurpose.RECEIPT, media_type="image/png", **fields
    )


def make_temporary():
    return make_file(expires_at=timezone.now() + IN_AN_HOUR)


def files_in_the_folder():
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def expire():
    """What the job does when the time of all there is is over."""
    return files.discard_expired(now=timezone.now() + 2 * IN_AN_HOUR)


# --- A folder -----------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [make_file, make_temporary])
@pytest.mark.parametrize("step", ["save", "half"])
def test_a_folder_that_is_away_is_said_and_keeps_nothing(make, step, caplog):
    with folder_failing(step), pytest.raises(Unavailable):
        make()
    assert not StoredFile.objects.exists()
    assert not files_in_the_folder()
    assert "The storage is away" in caplog.text


def test_a_half_written_file_that_cannot_be_taken_away_expires():
    with folder_failing("half", "delete"), pytest.raises(Unavailable):
        make_file()
    (row,) = StoredFile.objects.all()
    assert row.is_temporary
    assert row.expires_at
    assert row.expires_at - timezone.now() <= IN_AN_HOUR
    assert len(files_in_the_folder()) == 1

    assert expire() == 1

    assert not StoredFile.objects.exists()
    assert not files_in_the_folder()


def test_a_refusal_is_not_replaced_by_a_storage_that_is_away(caplog):
    file, other = make_temporary(), make_temporary()
    with folder_failing("delete"):
        files.discard(file, other)
    assert StoredFile.objects.filter(is_temporary=True).count() == 2
    assert caplog.text.count("stays until its time is over") == 2
    assert expire() == 2
    assert not files_in_the_folder()


def test_a_failure_that_is_none_of_the_storage_is_one(monkeypatch):
    def fail(_storage, _name):
        raise ZeroDivisionError

    file = make_temporary()
    monkeypatch.setattr(FileSystemStorage, "delete", fail)
    with pytest.raises(ZeroDivisionError):
        files.discard(file)
    monkeypatch.setattr(FileSystemStorage, "_save", lambda *_: fail(*_[:2]))
    with pytest.raises(ZeroDivisionError):
        make_file()


def test_what_cannot_be_read_now_is_not_lost(client):
    file = make_file()
    address = files.signed_path(file.pk)
    with folder_failing("open"):
        with pytest.raises(Unavailable):
            files.read(file)
        response = client.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "no-store" in response["Cache-Control"]
    assert client.get(address).getvalue() == CONTENT


def test_a_storage_may_choose_another_name():
    with storage_of("ops.tests.storages.Renaming"):
        file = make_file()
        assert file.path.endswith(".kept")
        assert StoredFile.objects.get().path == file.path
        assert files.read(file) == CONTENT


# --- S3 -----------------------------------------------------------------------------------------
@pytest.fixture
def s3():
    with small_s3() as server:
        yield server


def test_files_lie_in_a_bucket(s3, client):
    file = make_temporary()
    assert list(s3.objects.values()) == [CONTENT]
    assert files.read(file) == CONTENT
    assert client.get(files.signed_path(file.pk)).getvalue() == CONTENT
    files.discard(file)
    assert not s3.objects


@pytest.mark.parametrize("status", [503, 403, 0], ids=["busy", "forbidden", "connections break"])
def test_a_bucket_that_is_away_is_said_and_keeps_nothing(s3, status):
    s3.refuses = {"PUT": status, "HEAD": status}
    with pytest.raises(Unavailable):
        make_temporary()
    assert not StoredFile.objects.exists()
    assert not s3.objects


def test_what_a_bucket_does_not_give_expires(s3):
    file = make_temporary()
    s3.refuses = {"DELETE": 503}
    files.discard(file)
    assert StoredFile.objects.get() == file
    s3.refuses = {}
    assert expire() == 1
    assert not s3.objects


@pytest.mark.parametrize("verb", ["HEAD", "GET"])
def test_what_a_bucket_does_not_show_now_is_not_lost(s3, client, verb):
    file = make_file()
    s3.refuses = {verb: 503}
    with pytest.raises(Unavailable):
        files.read(file)
    assert client.get(files.signed_path(file.pk)).status_code == 503
    s3.refuses = {}
    assert files.read(file) == CONTENT


def test_what_a_bucket_lost_is_lost(s3, client):
    file = make_file()
    s3.objects.clear()
    with pytest.raises(FileNotFoundError):
        files.read(file)
    assert client.get(files.signed_path(file.pk)).status_code == 404


def test_an_endpoint_that_nobody_listens_at_is_away():
    with small_s3() as server:
        server.shutdown()
        server.server_close()
        with pytest.raises(Unavailable):
            make_file()
    assert expire() == 1
    assert not StoredFile.objects.exists()
