"""POST /api/user/avatar."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from accounts.models import User
from accounts.services import avatars
from accounts.tests.factories import sign_in
from ops.errors import Unavailable
from ops.models import FilePurpose, StoredFile
from ops.services import files
from reviews.tests.factories import make_file, make_image
from tests.api import client_of, data_of
from tests.people import make_person

pytestmark = pytest.mark.django_db
AVATAR = "/api/user/avatar"
MEGABYTE = 1024 * 1024


def send(api, content, name="me.jpg"):
    return api.post(AVATAR, {"image": SimpleUploadedFile(name, content)}, format="multipart")


def seen_at(address):
    answer: Any = client_of().get(address)
    assert answer.status_code == 200
    return Image.open(io.BytesIO(b"".join(answer.streaming_content)))


def test_a_picture_becomes_the_avatar_wherever_the_person_is_shown(api):
    person = sign_in(api).person
    assert data_of(api.get("/api/user/profile"))["avatar"] is None
    answer = data_of(send(api, make_file(image=make_image(size=(900, 600)))))
    assert set(answer) == {"avatar"}
    assert answer["avatar"].startswith("http://testserver/files/")
    picture = seen_at(answer["avatar"])
    assert (picture.format, picture.size) == ("JPEG", (512, 341))
    for shown in (
        data_of(api.get("/api/user/profile")),
        data_of(api.get("/api/auth/verify"))["user_info"],
        data_of(
            client_of().post("/api/auth/login", {"phone": str(person.phone), "code": "123456"})
        )["user_info"],
    ):
        assert seen_at(shown["avatar"]).size == (512, 341)
    file = StoredFile.objects.get()
    assert (file.purpose, file.owner_id, file.name) == (FilePurpose.AVATAR, person.pk, "me.jpg")
    assert (file.is_temporary, file.expires_at) == (False, None)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_each_type_is_kept_as_pixels_and_nothing_else(api, image_format):
    sign_in(api)
    image = make_image(size=(120, 80))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "where it was taken"
    options = {} if image_format == "HEIF" else {"exif": exif}
    shown = seen_at(
        data_of(send(api, make_file(image=image, image_format=image_format, **options)))["avatar"]
    )
    assert not shown.getexif()
    assert shown.size == ((120, 80) if image_format == "HEIF" else (80, 120))


def test_a_new_one_takes_the_old_one_away(api):
    person = sign_in(api).person
    old = data_of(send(api, make_file()))["avatar"]
    new = data_of(send(api, make_file()))["avatar"]
    person.refresh_from_db()
    files.discard_expired(now=timezone.now())
    assert StoredFile.objects.get().pk == person.avatar_id
    assert seen_at(new)
    assert client_of().get(old).status_code == 404


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, 5001)),
        (b"no picture", (400, 5003)),
        (b"GIF89a" + b"\0" * 20, (400, 5003)),
        (b"\xff\xd8\xff" + b"\0" * 10 * MEGABYTE, (413, 5004)),
        (b"\xff\xd8\xff" + b"\0" * 30, (400, 5005)),
    ],
    ids=["empty", "text", "gif", "too large", "broken"],
)
def test_what_is_no_picture_changes_nothing(api, content, expected):
    person = sign_in(api).person
    data_of(send(api, make_file()))
    before = User.objects.get(pk=person.pk).avatar_id
    answer = send(api, content)
    assert (answer.status_code, answer.json()["code"]) == expected
    assert User.objects.get(pk=person.pk).avatar_id == before
    assert StoredFile.objects.count() == 1


def test_a_bomb_is_refused(api, settings):
    sign_in(api)
    settings.RECEIPT_MAX_PIXELS = 100
    answer = send(api, make_file(image=make_image(size=(20, 20))))
    assert (answer.status_code, answer.json()["code"]) == (400, 5005)


@pytest.mark.parametrize("body", [{}, {"image": "text"}, {"image": ""}], ids=str)
@pytest.mark.parametrize("form", ["multipart", "json"])
def test_without_a_file_there_is_no_image(api, body, form):
    sign_in(api)
    answer = api.post(AVATAR, body, format=form)
    assert (answer.status_code, answer.json()["code"]) == (400, 5001)


def test_a_long_text_in_place_of_the_image_is_too_large(api):
    sign_in(api)
    answer = api.post(AVATAR, {"image": "x" * 2 * MEGABYTE}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (413, 5004)


def test_a_stranger_has_none(api):
    assert send(api, make_file()).json()["code"] == 1006


def test_pictures_are_counted_as_uploads_are(api, settings):
    settings.UPLOADS_PER_PERSON = "1/min"
    sign_in(api)
    send(api, b"")
    assert send(api, b"").json()["code"] == 1013


def test_a_picture_that_waited_too_long_is_nobodys():
    person = make_person()
    picture = avatars.store_picture(avatars.read_picture(make_file()), person_id=person.pk)
    StoredFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Unavailable):
        avatars.change(person_id=person.pk, picture=picture)
    assert User.objects.get(pk=person.pk).avatar_id is None
