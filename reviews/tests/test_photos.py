import io
import struct
import zlib

import pytest
from PIL import ExifTags, Image

from reviews.errors import ImageBroken, ImageTooLarge, NoImage, NotAnImage
from reviews.photos import check_photo, distance
from reviews.tests.factories import make_file, make_image

RED, BLUE, WHITE = (200, 30, 30), (30, 30, 200), (255, 255, 255)


def opened(content):
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def halves(size=(300, 200)):
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    return picture


def is_near(pixel, colour):
    return all(abs(one - other) < 40 for one, other in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF", "MPO"])
def test_what_phones_send_is_taken(image_format):
    received = make_file(image_format=image_format, image=halves())

    photo = check_photo(received)

    for content, size in (
        (photo.content, (300, 200)),
        (photo.thumbnail, (300, 200)),
    ):
        picture = opened(content)
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", size)
        assert is_near(picture.getpixel((50, 100)), RED)
        assert is_near(picture.getpixel((250, 100)), BLUE)


@pytest.mark.parametrize(
    ("orientation", "red_at"),
    [
        (1, (20, 100)),
        (2, (280, 100)),
        (3, (280, 100)),
        (4, (20, 100)),
        (5, (100, 20)),
        (6, (100, 20)),
        (7, (100, 280)),
        (8, (100, 280)),
        (9, (20, 100)),
    ],
)
def test_a_picture_is_turned_upright_as_its_camera_says(orientation, red_at):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation

    picture = opened(check_photo(make_file(image=halves(), exif=exif)).content)

    assert picture.size == ((200, 300) if 5 <= orientation <= 8 else (300, 200))
    assert is_near(picture.getpixel(red_at), RED)
    assert picture.getexif().get(ExifTags.Base.Orientation) is None


def test_nothing_is_kept_but_pixels():
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SecretPhone"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (30.0, 39.0, 1.0)
    received = make_file(
        image=halves(),
        exif=exif,
        comment=b"SecretComment",
        icc_profile=b"SecretProfile" * 9,
        xmp=b"SecretPacket",
    )
    assert received.count(b"Secret") == 12

    photo = check_photo(received)

    for content in (photo.content, photo.thumbnail):
        assert b"Secret" not in content
        assert b"Exif" not in content
        assert not opened(content).getexif()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # a word to the log, in production
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("metadata", [b"MM\x00*" + b"\xff" * 20, b"garbage", b""])
def test_unreadable_metadata_does_not_matter(image_format, metadata):
    exif = b"Exif\x00\x00" + metadata
    received = make_file(image_format=image_format, image=halves(), exif=exif)

    assert opened(check_photo(received).content).size == (300, 200)


def test_nonsense_beside_the_orientation_does_not_matter():
    """The maker's name is a fraction here, as some phones have it; the orientation is 6."""
    orientation = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    maker = b"\x0f\x01\x0c\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00" + orientation + maker + b"\x00" * 12
    received = make_file(image=halves(), exif=exif)

    assert opened(check_photo(received).content).size == (200, 300)


def test_transparency_becomes_white_paper():
    drawing = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    drawing.paste((*RED, 255), (0, 0, 80, 160))

    picture = opened(check_photo(make_file(image_format="PNG", image=drawing)).content)

    assert is_near(picture.getpixel((120, 80)), WHITE)
    assert is_near(picture.getpixel((20, 80)), RED)


def test_sixteen_bits_of_grey_are_not_cut_off():
    scan = Image.new("I;16", (160, 160), 40_000)

    picture = opened(check_photo(make_file(image_format="PNG", image=scan)).content)

    assert picture.getpixel((5, 5))[0] == pytest.approx(40_000 / 257, abs=2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK"])
def test_every_way_of_keeping_colours_is_read(mode):
    image_format = "JPEG" if mode == "CMYK" else "PNG"
    received = make_file(image_format=image_format, image=make_image(mode=mode))

    assert opened(check_photo(received).content).mode == "RGB"


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((4000, 3000), (4000, 3000)),
        ((5000, 3000), (4000, 2400)),
        # Over 16 megapixels, half the sides are enough.
        ((6000, 4000), (3000, 2000)),
        ((900, 8000), (900, 8000)),
        ((2000, 12_000), (1000, 6000)),
        ((600, 12_000), (600, 12_000)),
    ],
)
def test_a_picture_is_no_larger_than_reading_needs(size, kept):
    picture = opened(check_photo(make_file(image=Image.new("RGB", size))).content)

    assert picture.size == pytest.approx(kept, abs=1)


def test_the_thumbnail_is_small():
    photo = check_photo(make_file(image=halves((3000, 2000))))

    assert opened(photo.thumbnail).size == (480, 320)
    assert len(photo.thumbnail) < 20_000


def test_no_bytes_are_no_image():
    with pytest.raises(NoImage):
        check_photo(b"")


def test_ten_megabytes_are_the_limit(settings):
    received = make_file()
    exactly = received + b"\0" * (settings.RECEIPT_MAX_BYTES - len(received))
    assert check_photo(exactly).content

    with pytest.raises(ImageTooLarge):
        check_photo(exactly + b"\0")
    with pytest.raises(ImageTooLarge):  # told before anything else about it
        check_photo(b"no image" + b"\0" * settings.RECEIPT_MAX_BYTES)


def avif():
    return b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + b"\0" * 100


@pytest.mark.parametrize(
    "received",
    [
        b"This is a text that somebody called receipt.jpg",
        make_file(image_format="GIF", image=make_image(1)),
        make_file(image_format="BMP", image=make_image(1)),
        make_file(image_format="TIFF", image=make_image(1)),
        make_file(image_format="AVIF", image=make_image(1)),
        avif(),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVE",
        b"\0",
    ],
    ids=["text", "gif", "bmp", "tiff", "avif", "avif in mif1", "svg", "pdf", "wave", "one byte"],
)
def test_other_types_are_refused_by_their_content(received):
    with pytest.raises(NotAnImage):
        check_photo(received)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_broken(image_format, part):
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    received = make_file(image_format=image_format, image=noise)

    with pytest.raises(ImageBroken):
        check_photo(received[: int(len(received) * part)])


@pytest.mark.parametrize("cut", range(1, 17))
def test_a_png_that_lost_its_end_is_broken(cut):
    with pytest.raises(ImageBroken):
        check_photo(make_file(image_format="PNG")[:-cut])


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "is_taken"),
    [
        ((100, 100), True),
        ((99, 2000), False),
        ((2000, 99), False),
        ((1, 1), False),
        ((1, 60_000), False),
        ((600, 12_000), True),
        ((12_000, 600), True),
        ((700, 12_001), False),
        ((100, 2000), True),
        ((100, 2001), False),
        ((2001, 100), False),
    ],
)
def test_a_receipt_has_sides_of_a_receipt(image_format, size, is_taken):
    received = make_file(image_format=image_format, image=Image.new("L", size))
    if is_taken:
        assert opened(check_photo(received).content).size == size
    else:
        with pytest.raises(ImageBroken):
            check_photo(received)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x18ftypheic"])
def test_a_good_beginning_is_not_enough(start):
    with pytest.raises(ImageBroken):
        check_photo(start + b"garbage" * 20)


def png_bomb(width, height):
    """A few bytes that promise many pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


@pytest.mark.parametrize("size", [(6325, 6325), (60_000, 60_000)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size, monkeypatch):
    def decoded(image):
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", decoded)

    with pytest.raises(ImageBroken) as refusal:
        check_photo(png_bomb(*size))

    assert not isinstance(refusal.value.__cause__, AssertionError)


def test_forty_megapixels_are_taken():
    received = make_file(image=Image.new("L", (8000, 5000)))

    assert opened(check_photo(received).content).size == (4000, 2500)


def test_the_hash_finds_the_same_picture_smaller_and_paler():
    picture = Image.effect_noise((200, 300), 200).resize((20, 30)).resize((900, 1200))
    one = check_photo(make_file(image=picture))
    other = check_photo(make_file(image=picture.resize((300, 400)), quality=40))
    stranger = check_photo(make_file(image=picture.transpose(Image.Transpose.ROTATE_180)))

    assert len(one.difference_hash) == 64
    assert one.sha256 != other.sha256
    assert distance(one.difference_hash, other.difference_hash) < 12
    assert distance(one.difference_hash, stranger.difference_hash) > 60
