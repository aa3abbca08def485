"""Pictures from outside: what is refused by its headers, and what decoding gives."""

import io
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pillow_heif
import pytest
from django.db import connection, transaction
from PIL import Image, ImageChops, ImageFile

from ops.errors import Unavailable
from ops.services import picture_decoders, pictures, webp
from ops.services.picture_files import MOST_PARTS, MOST_SCANS
from ops.services.pictures import BrokenPicture, UnknownType, decode, in_turn, within
from ops.tests.picture_samples import (
    chunk,
    exif,
    flat_png,
    header,
    heic_cropped,
    png_of,
    random_png,
    scan_bomb,
    scans_of,
    segment,
    wide_box,
    with_segments,
    written,
)

pillow_heif.register_heif_opener()  # so that Pillow writes HEIC

MOST_PIXELS = 40_000_000
FORMATS = ["JPEG", "PNG", "WEBP", "HEIF"]


def decoded(received, *, side=4000, **options):
    return decode(received, scale=within(side), max_pixels=MOST_PIXELS, **options).image


def gradient(size=(300, 200), mode="RGB"):
    """A picture whose every region differs from the others."""
    picture = Image.merge(
        "RGB",
        [
            Image.linear_gradient("L").resize(size),
            Image.linear_gradient("L").rotate(90).resize(size),
            Image.radial_gradient("L").resize(size),
        ],
    )
    return picture.convert(mode)


def difference(one, other):
    """The largest difference between two pictures, in levels of 256."""
    assert (one.mode, one.size) == (other.mode, other.size)
    return max(ImageChops.difference(one, other).tobytes())


@pytest.fixture
def decodings(monkeypatch):
    """What decoders of Pillow were asked for; a refusal by the header leaves it empty."""
    asked = []
    load = ImageFile.ImageFile.load

    def counted(picture):
        asked.append(picture.size)
        return load(picture)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return asked


# --- What decoding gives ------------------------------------------------------------------------
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), PNG_KINDS)
@pytest.mark.parametrize("size", [(37, 45), (1, 17), (9, 1)])
def test_strips_of_a_png_are_what_pillow_decodes(monkeypatch, size, colour, depth, interlaced):
    monkeypatch.setattr(picture_decoders, "STRIP", 1)  # eight rows at a time
    # Pillow compares what is transparent as it is written, and knows 8 bits alone.
    for transparent in {False, colour == 3 or (depth == 8 and colour in {0, 2})}:
        png = random_png(
            *size, colour=colour, depth=depth, interlaced=interlaced, transparent=transparent
        )

        picture = decoded(png)

        with Image.open(io.BytesIO(png)) as opened:
            opened.load()
            expected = picture_decoders.on_white(opened)
        # Of 16 bits the high byte is taken; rounding them makes at most one level.
        assert difference(picture, expected) <= (depth == 16)


def test_a_grey_of_few_bits_can_be_transparent():
    """The pixel is the second darkest grey there is, and only that one is transparent."""
    for depth in (2, 4):
        pixels = chunk(b"IDAT", zlib.compress(bytes([0, 1 << (8 - depth)])))
        head = header(1, 1, depth=depth, colour=0)
        for marked, expected in ((1, 255), (2, 255 // (2**depth - 1))):
            png = png_of(head, chunk(b"tRNS", marked.to_bytes(2)), pixels)
            assert decoded(png).getpixel((0, 0)) == (expected,) * 3


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("colour", [0, 2])
@pytest.mark.parametrize("depth", [8, 16])
def test_one_colour_of_many_can_be_transparent(depth, colour, interlaced):
    """The first pixel is dark and transparent, the second is of another colour and stays."""
    samples, size = (1 if colour == 0 else 3), depth // 8
    dark, light = (
        b"".join((part << (depth - 8)).to_bytes(size) for part in parts[:samples])
        for parts in ((0x12, 0x34, 0x56), (0x80, 0x90, 0xA0))
    )
    marked = b"".join(
        int.from_bytes(dark[at : at + size]).to_bytes(2) for at in range(0, len(dark), size)
    )
    # Of two pixels in a row, the second comes in a later round.
    rows = b"\0" + dark + b"\0" + light if interlaced else b"\0" + dark + light
    png = png_of(
        header(2, 1, depth=depth, colour=colour, interlaced=interlaced),
        chunk(b"tRNS", marked),
        chunk(b"IDAT", zlib.compress(rows)),
    )

    picture = decoded(png)

    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((1, 0)) == ((0x80,) * 3 if colour == 0 else (0x80, 0x90, 0xA0))


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("side", [300, 299, 150, 140, 75, 20, 1])
def test_a_picture_is_shrunk_evenly(image_format, side):
    source = gradient()
    options = {"lossless": True} if image_format == "WEBP" else {"quality": 95}

    picture = decoded(written(source, image_format, **options), side=side)

    assert picture.size == (side, max(1, round(side * 2 / 3)))
    if side >= 20:
        expected = source.resize(picture.size, Image.Resampling.BOX)
        assert difference(picture, expected) < 40
    assert picture.info == {}


def test_many_strips_of_a_shrunk_picture_have_no_seams():
    source = gradient((1100, 1500))

    picture = decoded(written(source, "PNG"), side=1001)

    assert difference(picture, source.resize(picture.size, Image.Resampling.LANCZOS)) <= 1


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_lies_as_its_exif_says(image_format):
    source = gradient((40, 30))
    upright = decoded(written(source, image_format, quality=95))
    for orientation in range(1, 9):
        received = written(source, image_format, exif=exif(orientation, tags=3), quality=95)
        turn = pictures._TURNS.get(orientation)
        expected = upright if turn is None else upright.transpose(turn)

        assert difference(decoded(received), expected) == 0


def test_a_lossy_webp_with_transparency_is_on_white():
    source = gradient(mode="RGBA")
    source.putalpha(Image.linear_gradient("L").resize(source.size))

    picture = decoded(written(source, "WEBP", quality=95))

    assert picture.getpixel((150, 0)) == (255, 255, 255)
    assert difference(picture, picture_decoders.on_white(source)) < 60


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (120, 90), colour) for colour in ("red", "blue", "green")]
    for image_format in ("WEBP", "PNG"):
        received = written(frames[0], image_format, save_all=True, append_images=frames[1:])

        picture = decoded(received)

        assert difference(picture, frames[0]) < 8


def test_of_many_pictures_in_a_file_the_first_is_taken(decodings):
    frames = [gradient((120, 90)) for _ in range(30)]

    received = written(frames[0], "MPO", save_all=True, append_images=frames[1:])

    assert decoded(received).size == (120, 90)
    assert decodings == [(120, 90)]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_inks_become_three_colours(mode):
    received = written(gradient(mode=mode), "JPEG", quality=95)
    with Image.open(io.BytesIO(received)) as opened:
        expected = opened.convert("RGB")

    assert difference(decoded(received), expected) == 0


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_stands_behind_the_end_does_not_matter(image_format):
    received = written(gradient(), image_format)
    behind = b"\0\0\0\x10free" + b"\0" * 8 if image_format == "HEIF" else b"\xff\xda behind"

    assert decoded(received + behind).size == (300, 200)


# --- What is broken -----------------------------------------------------------------------------
@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("cut", [*range(1, 17), 100, 1000])
def test_a_file_that_is_cut_is_refused_unread(image_format, cut, decodings):
    received = written(gradient(), image_format)

    with pytest.raises(BrokenPicture):
        decoded(received[:-cut])

    assert decodings == []


def spoiled(png, kind):
    at = png.index(kind) + len(kind)
    return png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :]


BROKEN = {
    "a wrong checksum": spoiled(written(gradient(), "PNG"), b"IDAT"),
    "a wrong checksum of the header": spoiled(written(gradient(), "PNG"), b"IHDR"),
    "fewer rows": png_of(header(50, 50), chunk(b"IDAT", zlib.compress(bytes(151 * 49)))),
    "no rows": png_of(header(50, 50)),
    "an unknown filter": png_of(header(5, 1), chunk(b"IDAT", zlib.compress(b"\x09" + bytes(15)))),
    "no palette": png_of(header(5, 5, colour=3), chunk(b"IDAT", zlib.compress(bytes(30)))),
    "an unknown colour": png_of(header(5, 5, colour=5), chunk(b"IDAT", zlib.compress(bytes(99)))),
    "no width": png_of(header(0, 5), chunk(b"IDAT", zlib.compress(bytes(99)))),
    "two headers": png_of(header(5, 5), header(9, 9), chunk(b"IDAT", zlib.compress(bytes(99)))),
    "no height": written(gradient(), "JPEG").replace(b"\0\xc8\x01\x2c", b"\0\0\x01\x2c"),
    "arithmetic": written(gradient(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9"),
    "lossless": written(gradient(), "JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
    "12 bits": written(gradient(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
    "a scan without a frame": b"\xff\xd8\xff\xda\0\x04\0\0\xff\xd9",
    "nothing but an end": b"\xff\xd8\xff\xd9",
    "a TIFF called JPEG": b"\xff\xd8\xff\xe0" + written(gradient(), "TIFF"),
    "a length that is none": b"\xff\xd8\xff\xe0\0\0" + written(gradient(), "JPEG"),
    "an empty WebP": b"RIFF\x04\0\0\0WEBP",
    "a chunk beyond the end": b"RIFF\x0c\0\0\0WEBPVP8 \xff\xff\0\0",
    "a box of nothing": b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x04meta",
}


@pytest.mark.parametrize("received", BROKEN.values(), ids=BROKEN)
def test_what_does_not_hold_together_is_refused(received):
    with pytest.raises(BrokenPicture):
        decoded(received)


def test_a_heic_whose_size_changes_while_it_is_decoded_is_refused():
    """What it takes was reckoned with the size of its header; a crop cannot make it larger."""
    assert decoded(heic_cropped(299, 199)).size == (299, 199)

    with pytest.raises(BrokenPicture) as refusal:
        decoded(heic_cropped(400, 199))

    assert str(refusal.value.__cause__) == "another size than its header says"


def test_a_webp_whose_pixels_are_broken_is_refused():
    whole = written(gradient(), "WEBP", lossless=True)
    broken = whole[:26] + b"\xff" * (len(whole) - 26)  # all behind the header of its picture

    with pytest.raises(BrokenPicture) as refusal:
        decoded(broken)

    assert str(refusal.value.__cause__) == "a WebP that cannot be decoded"


def test_another_libwebp_is_not_called(monkeypatch):
    """Its structures may be larger than ours: it would write behind them."""
    received = written(gradient(), "WEBP")
    monkeypatch.setattr(webp, "_ABI", webp._ABI + 0x100)

    with pytest.raises(ValueError, match="another libwebp"):
        webp.decode(received, (300, 200))


def test_a_box_with_a_long_length_is_one_as_well():
    received = written(gradient(), "HEIF")

    assert decoded(received + wide_box(b"free", b"anything")).size == (300, 200)


def test_a_type_that_is_not_asked_for_is_refused():
    with pytest.raises(UnknownType):
        decoded(written(gradient(), "WEBP"), types=("JPEG", "PNG"))


def test_whoever_takes_pictures_says_which_sides(decodings):
    received = written(gradient(), "JPEG")

    with pytest.raises(BrokenPicture):
        decoded(received, sides=lambda width, height: (width, height) != (300, 200))

    assert decodings == []
    assert decoded(received, sides=lambda width, height: width > height).size == (300, 200)


# --- What costs too much ------------------------------------------------------------------------
def test_thousands_of_scans_are_refused_unread(decodings):
    received = scan_bomb((1200, 900), 3000)
    assert len(received) < 640 * 1024

    with pytest.raises(BrokenPicture):
        decoded(received)

    assert decodings == []


def test_as_many_scans_as_are_taken():
    first = scans_of(scan_bomb((160, 120), 1))
    assert decoded(scan_bomb((160, 120), 1 + MOST_SCANS - first)).size == (160, 120)

    with pytest.raises(BrokenPicture):
        decoded(scan_bomb((160, 120), 2 + MOST_SCANS - first))


@pytest.mark.parametrize(
    "received",
    [
        flat_png(8001, 5000, colour=0, depth=1),
        flat_png(16_000, 16_000, colour=0, depth=1),
        flat_png(40_000_000, 1, colour=0, depth=1),
        written(Image.new("L", (65_000, 620)), "JPEG"),
        # Its coefficients alone would be 240 MB.
        written(Image.new("RGB", (8000, 5000)), "JPEG", progressive=True, subsampling=0),
    ],
    ids=["just over", "256 megapixels", "one row", "jpeg", "coefficients"],
)
def test_a_bomb_is_refused_unread(received, decodings):
    with pytest.raises(BrokenPicture):
        decoded(received)

    assert decodings == []


def test_forty_megapixels_of_a_jpeg_are_never_decoded_whole(decodings, monkeypatch):
    sizes = []
    prepare = ImageFile.ImageFile.load_prepare

    def prepared(picture):
        sizes.append(picture.size)
        prepare(picture)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", prepared)

    assert decoded(written(Image.new("RGB", (7999, 5000)), "JPEG")).size == (4000, 2500)
    assert sizes == [(4000, 2500)]


def test_thousands_of_segments_are_refused():
    jpeg = written(gradient(), "JPEG")
    assert decoded(with_segments(jpeg, *[segment(0xFE, b"comment")] * (MOST_PARTS // 2))).size

    with pytest.raises(BrokenPicture):
        decoded(with_segments(jpeg, *[segment(0xFE, b"comment")] * MOST_PARTS))


def test_what_a_decoder_does_not_need_never_reaches_it(monkeypatch):
    """A profile or a text may be compressed a thousand times; nobody unpacks it."""
    handed = []
    open_image = Image.open

    def opened(file, *arguments, **options):
        handed.append(file.getvalue())
        return open_image(file, *arguments, **options)

    monkeypatch.setattr(Image, "open", opened)
    bomb = zlib.compress(bytes(9_000_000))
    png = random_png(20, 20, colour=2, depth=8, interlaced=True)
    for kind in (b"zTXt", b"iCCP"):
        png = png[:33] + chunk(kind, b"SecretName\0\0" + bomb) + png[33:]
    jpeg = with_segments(
        written(gradient(), "JPEG", icc_profile=b"SecretProfile" * 9),
        segment(0xE2, b"ICC_PROFILE\0\1\1Secret"),
        segment(0xE2, b"MPF\0Secret"),
        segment(0xED, b"Photoshop 3.0\0Secret"),
        segment(0xFE, b"Secret"),
        segment(0xE1, exif(1) + b"Secret"),
    )

    assert decoded(png).size == (20, 20)
    assert decoded(jpeg).size == (300, 200)

    assert len(handed) == 2
    assert not any(b"Secret" in content for content in handed)


def test_exif_that_refers_to_itself_thousands_of_times_is_no_work():
    jpeg = written(gradient(), "JPEG")
    hostile = exif(6, tags=5000)[:65_000]

    assert decoded(with_segments(jpeg, segment(0xE1, hostile))).size == (300, 200)


def test_metadata_of_a_heic_is_not_read(monkeypatch):
    received = written(gradient(), "HEIF", exif=exif(6) + b"Secret" * 500, xmp=b"Secret" * 500)
    assert received.count(b"Secret") == 1000
    read = []
    open_heif = pillow_heif.open_heif

    def opened(*arguments, **options):
        read.append(open_heif(*arguments, **options))
        return read[-1]

    monkeypatch.setattr(pillow_heif, "open_heif", opened)

    assert decoded(received).size in {(300, 200), (200, 300)}

    (image,) = read[0]
    assert not image.info["exif"]
    assert not image.info["metadata"]
    assert not image.info.get("xmp")


# --- One at a time ------------------------------------------------------------------------------
def test_one_picture_at_a_time_is_worked_on():
    at_work, most, lock = 0, 0, threading.Lock()
    begun = threading.Barrier(9)

    def work():
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        decoded(written(gradient(), "JPEG"))
        with lock:
            at_work -= 1

    def send():
        begun.wait(60)
        in_turn(work)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    for thread in threads:
        thread.join(60)

    assert (at_work, most) == (0, 1)


def test_work_inside_of_a_turn_is_part_of_it():
    assert in_turn(lambda: in_turn(lambda: "done")) == "done"


def test_a_refusal_comes_out_of_a_turn():
    with pytest.raises(BrokenPicture):
        in_turn(lambda: decoded(b"\xff\xd8\xff"))


@pytest.fixture
def held_turn():
    """A turn that does not end before the test does."""
    begun, may_end = threading.Event(), threading.Event()

    def hold():
        begun.set()
        may_end.wait(30)

    thread = threading.Thread(target=in_turn, args=[hold])
    thread.start()
    assert begun.wait(60)
    yield
    may_end.set()
    thread.join(60)


def test_who_waited_too_long_is_told_to_come_back(held_turn, monkeypatch):
    monkeypatch.setattr(pictures, "PATIENCE", 0)
    worked = []

    with pytest.raises(Unavailable) as refusal:
        in_turn(lambda: worked.append(1))

    assert refusal.value.retry_after
    assert worked == []


class Telling(ThreadPoolExecutor):
    """Tells when somebody waits for their turn."""

    def __init__(self):
        super().__init__(max_workers=1)
        self.somebody_waits = threading.Semaphore(0)

    def submit(self, call, /, *arguments, **options):
        turn = super().submit(call, *arguments, **options)
        self.somebody_waits.release()
        return turn


def test_whoever_sends_many_is_waited_for_once(monkeypatch):
    done: list[int | None] = []
    may_begin = threading.Event()
    with Telling() as turns, ThreadPoolExecutor(5) as people:
        turns.submit(may_begin.wait, 10)
        assert turns.somebody_waits.acquire(timeout=10)
        monkeypatch.setattr(pictures, "_turns", turns)
        for owner_id in (1, 1, 1, 2, None):
            people.submit(in_turn, partial(done.append, owner_id), owner_id=owner_id)
            assert turns.somebody_waits.acquire(timeout=10)
        may_begin.set()

    assert done == [1, 2, None, 1, 1]


def test_a_turn_that_has_begun_is_waited_for(monkeypatch):
    begun, impatient = threading.Event(), threading.Event()

    class Begun(Future):
        """A turn that is waited for once its work has begun, and tells when it is called off."""

        def result(self, timeout=None):
            assert begun.wait(60)
            return super().result(timeout)

        def cancel(self):
            impatient.set()
            return super().cancel()

    def work():
        begun.set()
        return impatient.wait(10)

    monkeypatch.setattr(pictures, "PATIENCE", 0)
    monkeypatch.setattr(pictures, "Future", Begun)

    assert in_turn(work) is True


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_waits_holds_no_connection():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.connection is not None

    in_turn(lambda: None)

    assert connection.connection is None


@pytest.mark.django_db
def test_a_transaction_keeps_its_connection():
    with transaction.atomic():
        in_turn(lambda: None)
        assert connection.connection is not None


def test_only_so_many_wait(held_turn, monkeypatch):
    monkeypatch.setattr(pictures, "_waiting", threading.BoundedSemaphore(1))
    assert pictures._waiting.acquire(blocking=False)

    with pytest.raises(Unavailable):
        in_turn(lambda: None)
