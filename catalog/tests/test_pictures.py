import io

import pytest
from PIL import Image

from catalog.errors import NotAPicture
from catalog.services.pictures import add_picture, read_picture, store_picture
from catalog.tests.factories import make_png, make_product
from ops.models import StoredFile
from ops.services import files

pytestmark = pytest.mark.django_db


def test_a_picture_is_kept_in_two_sizes_on_white():
    image = add_picture(product_id=make_product().pk, content=make_png(), name="tea.png")

    assert image.thumbnail is not None
    kept = Image.open(io.BytesIO(files.read(image.file)))
    small = Image.open(io.BytesIO(files.read(image.thumbnail)))
    assert (kept.format, kept.size, small.size) == ("JPEG", (1600, 800), (400, 200))
    assert kept.getpixel((0, 0)) == (255, 255, 255)
    assert image.file.name == "tea.png"


def test_pictures_stand_behind_each_other():
    product = make_product()

    added = [add_picture(product_id=product.pk, content=make_png((9, 9))) for _ in range(3)]

    assert [image.position for image in added] == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"no picture", make_png()[:200], b"GIF89a" + b"\0" * 50])
def test_what_is_no_picture_is_refused(content):
    product = make_product()

    with pytest.raises(NotAPicture):
        add_picture(product_id=product.pk, content=content)

    assert not StoredFile.objects.exists()


def test_too_many_pixels_are_refused(settings):
    settings.RECEIPT_MAX_PIXELS = 100
    product = make_product()

    with pytest.raises(NotAPicture):
        add_picture(product_id=product.pk, content=make_png((11, 10)))

    assert not StoredFile.objects.exists()


def test_too_many_bytes_are_refused(settings):
    png = make_png((9, 9))
    settings.RECEIPT_MAX_BYTES = len(png)
    assert read_picture(png).content

    with pytest.raises(NotAPicture):
        read_picture(png + b"\0")


def test_a_small_or_a_long_picture_is_one_of_a_product():
    for size in ((1, 1), (3000, 20)):
        assert read_picture(make_png(size)).content


def test_a_picture_is_temporary_until_a_product_has_it():
    stored = store_picture(read_picture(make_png((9, 9))))
    assert [file.is_temporary for file in stored] == [True, True]

    image = add_picture(product_id=make_product().pk, content=make_png((9, 9)))

    assert image.thumbnail is not None
    for file in StoredFile.objects.filter(pk__in=[image.file_id, image.thumbnail_id]):
        assert (file.is_temporary, file.expires_at) == (False, None)


def test_a_picture_that_is_cut_off_is_refused():
    written = io.BytesIO()
    Image.new("RGB", (300, 300), "red").save(written, format="JPEG")

    with pytest.raises(NotAPicture):
        read_picture(written.getvalue()[:-2])
