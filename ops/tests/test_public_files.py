"""Public files: one address for the same bytes, for everybody, for ever; never a private one."""

import hashlib
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from ops.errors import Unavailable
from ops.models import PUBLIC_PURPOSES, FilePurpose, StoredFile
from ops.services import files, public_files
from ops.tests.storages import folder_failing, small_s3
from tests.api import client_of
from tests.console import console_of
from tests.people import make_person

pytestmark = pytest.mark.django_db
CONTENT = b"\xff\xd8\xff not really"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ADDRESS = f"/files/public/{SHA256}.jpg"
PRIVATE_PURPOSES = [purpose for purpose in FilePurpose if purpose not in PUBLIC_PURPOSES]


@pytest.fixture(params=["folder", "S3"], autouse=True)
def bucket(request):
    """Each promise holds in a folder, and in a bucket, which is given here."""
    if request.param == "folder":
        yield None
    else:
        with small_s3() as server:
            yield server


def make_file(**fields):
    return files.store(
        **{
            "content": CONTENT,
            "purpose": FilePurpose.PRODUCT,
            "media_type": "image/jpeg",
            **fields,
        }
    )


def is_not_there(response):
    return response.status_code == 404 and "immutable" not in response.get("Cache-Control", "")


# --- What lies there ------------------------------------------------------------------------------
def test_whoever_asks_gets_the_bytes_and_may_keep_them_for_ever(client):
    assert public_files.public_address(make_file()) == ADDRESS

    response = client.get(ADDRESS)

    assert (response.status_code, response.content) == (200, CONTENT)
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response["Content-Type"] == "image/jpeg"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["ETag"] == f'"{SHA256}"'


@pytest.mark.parametrize(
    ("media_type", "ending"), [("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp")]
)
def test_the_ending_says_the_type_and_no_other_ending_is_an_address(client, media_type, ending):
    address = public_files.public_address(make_file(media_type=media_type))
    assert address == f"/files/public/{SHA256}.{ending}"
    assert client.get(address)["Content-Type"] == media_type
    for other in {"jpg", "png", "webp", "jpeg", "bin", "html"} - {ending}:
        assert is_not_there(client.get(f"/files/public/{SHA256}.{other}"))


def test_head_says_the_same_without_the_bytes(client):
    make_file()
    head, whole = client.head(ADDRESS), client.get(ADDRESS)
    assert (head.status_code, head.content) == (200, b"")
    own = {"X-Request-ID"}
    assert {name: value for name, value in head.items() if name not in own} == {
        name: value for name, value in whole.items() if name not in own
    }


@pytest.mark.parametrize("known", [f'"{SHA256}"', f'W/"{SHA256}"', f'"x", "{SHA256}"', "*"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_whoever_has_it_is_told_so_and_the_storage_is_not_asked(client, bucket, method, known):
    make_file()
    with folder_failing("open") if bucket is None else small_s3():  # one that has nothing
        response = getattr(client, method)(ADDRESS, headers={"If-None-Match": known})
    assert (response.status_code, response.content) == (304, b"")
    assert response["ETag"] == f'"{SHA256}"'
    assert "immutable" in response["Cache-Control"]


def test_whoever_has_something_else_gets_it(client):
    make_file()
    assert client.get(ADDRESS, headers={"If-None-Match": '"x"'}).content == CONTENT


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_done_there_but_read(client, method):
    make_file()
    assert getattr(Client(enforce_csrf_checks=True), method)(ADDRESS).status_code == 405
    assert client.get(ADDRESS).content == CONTENT


# --- The same for everybody -----------------------------------------------------------------------
def test_nobody_is_asked_who_they_are(client, django_assert_num_queries):
    make_file()
    stranger = client.get(ADDRESS)
    person = make_person(is_staff=True, is_superuser=True)
    in_the_console = console_of(person)
    in_the_console.cookies[django_settings.LANGUAGE_COOKIE_NAME] = "en"
    asked = (
        (in_the_console, {"Accept-Language": "en"}),
        (client, {"Authorization": "Bearer nonsense", "Accept-Language": "zh-hans"}),
        (client_of(person), {"Origin": "https://app.example"}),
    )
    for somebody, headers in asked:
        with django_assert_num_queries(1):
            response = somebody.get(ADDRESS, headers=headers)
        assert response.content == stranger.content
        assert not response.cookies
        assert {*response.headers} == {*stranger.headers}
    for personal in ("Vary", "Set-Cookie", "Content-Language", "Expires"):
        assert personal not in stranger.headers


def test_the_same_picture_stored_twice_has_one_address(client):
    first, second = make_file(), make_file(name="the same.jpg", owner_id=7)
    assert first.path != second.path
    assert public_files.public_address(first) == public_files.public_address(second) == ADDRESS

    default_storage.delete(first.path)
    assert client.get(ADDRESS).content == CONTENT
    default_storage.delete(second.path)
    assert is_not_there(client.get(ADDRESS))


def test_another_picture_has_another_address():
    assert public_files.public_address(make_file(content=CONTENT + b"\0")) != ADDRESS


def test_the_address_can_be_that_of_a_cdn_which_asks_us(client, settings):
    settings.PUBLIC_FILES_URL = "https://cdn.example/shop"
    assert public_files.public_address(make_file()) == f"https://cdn.example/shop{ADDRESS}"
    assert client.get(ADDRESS).content == CONTENT


def test_the_bucket_stays_private(bucket):
    make_file()
    if bucket is not None:
        assert set(bucket.rights.values()) == {"private"}


# --- Never a private one --------------------------------------------------------------------------
@pytest.mark.parametrize("purpose", PRIVATE_PURPOSES)
def test_a_private_file_has_no_public_address_even_where_its_hash_is_known(client, purpose):
    file = make_file(purpose=purpose)
    assert is_not_there(client.get(ADDRESS))
    with pytest.raises(ValueError, match="private"):
        public_files.public_address(file)


def test_only_pictures_of_products_are_public():
    assert {FilePurpose.PRODUCT} == PUBLIC_PURPOSES


def test_the_bytes_of_a_receipt_that_is_also_a_products_are_the_products(client):
    receipt, product = make_file(purpose=FilePurpose.RECEIPT), make_file()
    default_storage.delete(product.path)
    assert is_not_there(client.get(ADDRESS))
    assert files.read(receipt) == CONTENT


def test_what_is_no_picture_is_not_public(client):
    """A page of somebody's own under our name could do what we can."""
    file = make_file(media_type="text/html")
    with pytest.raises(ValueError, match="private"):
        public_files.public_address(file)
    for ending in ("bin", "html", "jpg"):
        assert is_not_there(client.get(f"/files/public/{SHA256}.{ending}"))


def test_a_temporary_file_is_nobodys_yet(client):
    file = make_file(expires_at=timezone.now() + timedelta(hours=1))
    assert is_not_there(client.get(ADDRESS))
    files.make_permanent(file)
    assert client.get(ADDRESS).content == CONTENT


def odd_paths(file):
    """Addresses that somebody might try."""
    return [
        f"/files/public/{'0' * 64}.jpg",
        f"/files/public/{SHA256}",
        f"/files/public/{SHA256}.",
        f"/files/public/{SHA256}.JPG",
        f"/files/public/{SHA256.upper()}.jpg",
        f"/files/public/{SHA256[:-1]}.jpg",
        f"/files/public/{SHA256}0.jpg",
        f"/files/public/{SHA256}.jpg/",
        f"/files/public/{SHA256}.jpg%0A",
        f"/files/public/{SHA256}.jpg%00",
        f"/files/public/{SHA256}.jpg/../{file.path}",
        f"/files/public//{SHA256}.jpg",
        f"/files/public/product/{SHA256}.jpg",
        f"/files/public/{file.path}",
        f"/files/public/{file.pk}",
        f"/files/public/../../media/{file.path}",
        f"/files/public/..%2F..%2Fmedia%2F{file.path}",
        "/files/public/..%5C..%5Cdb.sqlite3",
        "/files/public/%2e%2e/%2e%2e/db.sqlite3",
        "/files/public//etc/passwd",
        "/files/public/",
        "/files/public",
        f"/files/{SHA256}.jpg",
        f"/media/{file.path}",
        f"/media/public/{SHA256}.jpg",
    ]


def test_odd_paths_lead_nowhere(client):
    file = make_file()
    for path in odd_paths(file):
        assert is_not_there(client.get(path)), path
    assert client.get(ADDRESS).content == CONTENT


# --- What is wrong is not kept --------------------------------------------------------------------
def test_what_is_not_there_is_kept_by_nobody(client):
    assert "no-store" in client.get(ADDRESS)["Cache-Control"]
    make_file()
    assert client.get(ADDRESS).content == CONTENT


def test_what_the_storage_lost_is_not_there_until_it_is_back(client, caplog):
    file = make_file()
    default_storage.delete(file.path)
    response = client.get(ADDRESS)
    assert is_not_there(response)
    assert "no-store" in response["Cache-Control"]
    assert f"The storage lost file {file.pk}" in caplog.text
    default_storage.save(file.path, ContentFile(CONTENT))
    assert client.get(ADDRESS).content == CONTENT


def test_what_was_changed_in_the_storage_is_shown_to_nobody(client, caplog):
    """Whoever got it would keep it for a year."""
    changed = make_file()
    default_storage.delete(changed.path)
    default_storage.save(changed.path, ContentFile(CONTENT[:-3]))
    assert is_not_there(client.get(ADDRESS))
    assert f"File {changed.pk} is not what was stored" in caplog.text
    make_file()  # somebody stores it once more
    assert client.get(ADDRESS).content == CONTENT


def test_a_storage_that_is_away_is_said_and_kept_by_nobody(client, bucket):
    copies = [make_file()]
    if bucket is None:
        with folder_failing("open"):
            response = client.get(ADDRESS)
            with pytest.raises(Unavailable):
                public_files.read_copy(copies)
    else:
        bucket.refuses = {"GET": 503, "HEAD": 503}
        response = client.get(ADDRESS)
        with pytest.raises(Unavailable):
            public_files.read_copy(copies)
        bucket.refuses = {}
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "no-store" in response["Cache-Control"]
    assert client.get(ADDRESS).content == CONTENT


def test_of_many_copies_a_few_are_read(client, django_assert_num_queries):
    for _ in range(public_files.MOST_COPIES + 2):
        make_file()
    assert StoredFile.objects.filter(sha256=SHA256).count() == public_files.MOST_COPIES + 2
    copies = public_files.copies_of(sha256=SHA256, extension="jpg")
    assert len(copies) == public_files.MOST_COPIES
    with django_assert_num_queries(1):
        assert client.get(ADDRESS).content == CONTENT
