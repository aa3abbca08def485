"""The headers of pictures: what each reader refuses, and why; and the most that it takes."""

import struct
import zlib

import pytest

from ops.services.picture_files import (
    MOST_CHUNKS,
    MOST_HEIF_HEADER,
    MOST_HEIF_PROFILES,
    MOST_PARTS,
    BrokenFile,
    plain_heif,
    read_jpeg,
    read_png,
    read_webp,
)
from ops.tests.picture_samples import (
    box,
    chunk,
    header,
    png_of,
    riff_chunk,
    segment,
    webp_of,
    wide_box,
)


# --- JPEG ---------------------------------------------------------------------------------------
def jpeg_with(of_frame):
    """A JPEG with this frame header and one scan of nothing."""
    return b"\xff\xd8" + segment(0xC0, of_frame) + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\xff\xd9"


def frame(width=8, height=8, factors=(0x11,)):
    components = b"".join(bytes([number, factor, 0]) for number, factor in enumerate(factors))
    return struct.pack(">BHHB", 8, height, width, len(factors)) + components


def test_a_frame_says_its_size():
    file = read_jpeg(jpeg_with(frame(30, 20, (0x44, 0x11, 0x11, 0x44))))

    assert (file.width, file.height) == (30, 20)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a frame header that is none"),
        (frame() + b"\0", "a frame header that is none"),
        (b"\x0c" + frame()[1:], "a frame header that is none"),
        (frame(width=0), "a frame without pixels"),
        (frame(height=0), "a frame without pixels"),
        (frame(factors=()), "a frame without pixels"),
        (frame(factors=(0x11,) * 5), "a frame without pixels"),
        (frame(factors=(0x11, 0x01)), "sampling that is none"),
        (frame(factors=(0x10,)), "sampling that is none"),
        (frame(factors=(0x51,)), "sampling that is none"),
        (frame(factors=(0x15,)), "sampling that is none"),
    ],
)
def test_a_frame_that_is_none_is_refused(content, why):
    with pytest.raises(BrokenFile, match=why):
        read_jpeg(jpeg_with(content))


# --- PNG ----------------------------------------------------------------------------------------
PIXELS = chunk(b"IDAT", zlib.compress(bytes(16)))


def head(*ways, colour=2):
    """A header of 5 x 1 pixels: how they are compressed, filtered and interlaced."""
    return chunk(b"IHDR", struct.pack(">IIBB", 5, 1, 8, colour) + bytes(ways))


def palette(length):
    return chunk(b"PLTE", bytes(length))


@pytest.mark.parametrize(
    "chunks",
    [
        [head(0, 0, 1), PIXELS],
        [head(0, 0, 0, colour=3), palette(3), PIXELS],
        [head(0, 0, 0, colour=3), palette(768), PIXELS],
        [head(0, 0, 0), PIXELS, PIXELS],
    ],
    ids=["interlaced", "one colour", "256 colours", "pixels in two pieces"],
)
def test_a_png_that_is_one(chunks):
    file = read_png(png_of(*chunks))

    assert (file.width, file.height) == (5, 1)


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([PIXELS], "a header that is not the first chunk alone"),
        ([PIXELS, head(0, 0, 0)], "a header that is not the first chunk alone"),
        ([head(0, 0, 0), head(0, 0, 0), PIXELS], "a header that is not the first chunk alone"),
        ([head(0, 0), PIXELS], "no header or no pixels"),
        ([head(0, 0, 0, 0), PIXELS], "no header or no pixels"),
        ([head(0, 0, 0)], "no header or no pixels"),
        ([head(0, 0, 0), chunk(b"IDAT", b"")], "no header or no pixels"),
        ([header(0, 1), PIXELS], "a header that is none"),
        ([header(5, 0), PIXELS], "a header that is none"),
        ([header(5, 1, depth=4), PIXELS], "a header that is none"),
        ([header(5, 1, colour=1), PIXELS], "a header that is none"),
        ([head(1, 0, 0), PIXELS], "a way of keeping pixels that is unknown"),
        ([head(0, 1, 0), PIXELS], "a way of keeping pixels that is unknown"),
        ([head(0, 0, 2), PIXELS], "a way of keeping pixels that is unknown"),
        ([head(0, 0, 0, colour=3), PIXELS], "a palette that is none"),
        ([head(0, 0, 0, colour=3), palette(0), PIXELS], "a palette that is none"),
        ([head(0, 0, 0, colour=3), palette(4), PIXELS], "a palette that is none"),
        ([head(0, 0, 0, colour=3), palette(771), PIXELS], "a palette that is none"),
    ],
)
def test_a_png_that_is_none_is_refused(chunks, why):
    with pytest.raises(BrokenFile, match=why):
        read_png(png_of(*chunks))


def test_as_many_chunks_of_a_png_as_are_taken():
    text = chunk(b"tEXt", b"")
    others = 3  # header, pixels and the end
    assert read_png(png_of(head(0, 0, 0), *[text] * (MOST_CHUNKS - others), PIXELS)).width == 5

    with pytest.raises(BrokenFile, match="too many chunks"):
        read_png(png_of(head(0, 0, 0), *[text] * (MOST_CHUNKS - others + 1), PIXELS))


# --- WebP ---------------------------------------------------------------------------------------
def lossy(width=5, height=3, start=b"\x9d\x01\x2a"):
    return riff_chunk(b"VP8 ", b"\0\0\0" + start + struct.pack("<HH", width, height))


def test_a_webp_says_its_size():
    # The two highest bits are a scale for displays.
    assert read_webp(webp_of(lossy(0xC005, 0x4003))).width == 5
    lossless = read_webp(
        webp_of(riff_chunk(b"VP8L", b"\x2f" + (4 | 2 << 14).to_bytes(4, "little")))
    )
    assert (lossless.width, lossless.height, lossless.is_lossless) == (5, 3, True)


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([], "no picture"),
        ([riff_chunk(b"EXIF", b"")], "no picture"),
        ([riff_chunk(b"ANMF", bytes(16))], "no picture"),
        ([riff_chunk(b"VP8 ", b"\0\0\0\x9d\x01\x2a\5\0\3")], "no key frame"),
        ([lossy(start=b"\0\0\0")], "no key frame"),
        ([riff_chunk(b"VP8L", b"\x2f\0\0\0")], "no lossless picture"),
        ([riff_chunk(b"VP8L", b"\x2e\0\0\0\0")], "no lossless picture"),
        ([lossy(width=0)], "no pixels"),
        ([lossy(height=0)], "no pixels"),
        ([lossy(width=0xC000)], "no pixels"),
    ],
)
def test_a_webp_that_is_none_is_refused(chunks, why):
    with pytest.raises(BrokenFile, match=why):
        read_webp(webp_of(*chunks))


def test_as_many_chunks_of_a_webp_as_are_taken():
    unknown = riff_chunk(b"none", b"")
    assert read_webp(webp_of(*[unknown] * (MOST_PARTS - 2), lossy())).width == 5

    with pytest.raises(BrokenFile, match="too many chunks"):
        read_webp(webp_of(*[unknown] * (MOST_PARTS - 1), lossy()))


# --- HEIC ---------------------------------------------------------------------------------------
def meta(*boxes):
    return box(b"meta", bytes(4) + b"".join(boxes))


def items(*types):
    """The list of items, each of one of these types."""
    entries = [box(b"infe", b"\2" + bytes(7) + item_type + b"\0") for item_type in types]
    return box(b"iinf", bytes(4) + len(types).to_bytes(2) + b"".join(entries))


def profile(length):
    return box(b"iprp", box(b"ipco", box(b"colr", bytes(length))))


def test_a_header_of_a_heic_is_only_so_long():
    boxes_around = 8 + 4 + 8
    longest = meta(box(b"free", bytes(MOST_HEIF_HEADER - boxes_around)))
    assert len(longest) == MOST_HEIF_HEADER
    assert plain_heif(longest) == longest

    with pytest.raises(BrokenFile, match="a header that is too long"):
        plain_heif(meta(box(b"free", bytes(MOST_HEIF_HEADER - boxes_around + 1))))


def test_colour_profiles_of_a_heic_are_only_so_large_for_all_its_items():
    listed = items(*[b"hvc1"] * 1024)
    most = meta(listed, profile(MOST_HEIF_PROFILES // 1024))
    assert plain_heif(most) == most

    with pytest.raises(BrokenFile, match="too many colour profiles"):
        plain_heif(meta(listed, profile(MOST_HEIF_PROFILES // 1024 + 1)))


def test_as_many_boxes_of_a_heic_as_are_taken():
    assert plain_heif(box(b"free") * MOST_PARTS) == box(b"free") * MOST_PARTS

    with pytest.raises(BrokenFile, match="too many boxes"):
        plain_heif(box(b"free") * (MOST_PARTS + 1))


@pytest.mark.parametrize("form", [box, wide_box])
def test_metadata_is_hidden_in_boxes_of_either_form(form):
    file = form(b"meta", bytes(4) + items(b"hvc1", b"Exif"))

    plain = plain_heif(file)

    assert len(plain) == len(file)
    assert plain.count(b"infe") == plain.count(b"free") == 1
    assert plain.index(b"infe") < plain.index(b"hvc1") < plain.index(b"free")


@pytest.mark.parametrize(
    "last",
    [
        wide_box(b"free", b"12345678")[:-1],
        b"\0\0\0\1free" + (15).to_bytes(8),  # less than the numbers themselves
        b"\0\0\0\1free" + b"\xff" * 8,
        b"\0\0\0\x07free",
        b"\0\0\0\x08fre",
    ],
    ids=["cut", "too short", "endless", "shorter than its name", "half a name"],
)
def test_a_box_without_its_end_is_refused(last):
    with pytest.raises(BrokenFile, match="a box without its end"):
        plain_heif(box(b"free") + last)


def test_the_last_box_may_end_with_the_file():
    file = box(b"free") + b"\0\0\0\0mdat" + b"pixels"

    assert plain_heif(file) == file
