"""What a photo must be to be taken, and what is kept of it: pixels, upright, and nothing else.

Files come from strangers: the type is told from the content, and the size is known from the
header before anything is decoded.
"""

import hashlib
import io
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from reviews.errors import ImageBroken, ImageTooLarge, NoImage, NotAnImage

register_heif_opener()

LONGEST_SIDE = 4000
# A long slip keeps this much of its width, or its letters would be lost...
SHORTEST_SIDE = 1000
# ...unless it is a ribbon that no receipt is.
UTMOST_SIDE = 12_000
THUMBNAIL_SIDE = 480
QUALITY = 90
THUMBNAIL_QUALITY = 80
HASH_SIDE = 16

# What EXIF's orientations ask for.
_TURNS: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# Brands of the container; what is in it, its list of compatible brands says.
_CONTAINER_BRANDS = {b"mif1", b"msf1", b"mif2"}


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that was taken: two JPEGs without metadata, and what to recognise it by."""

    content: bytes
    thumbnail: bytes
    sha256: str  # of the file as it was received
    difference_hash: str


def check_photo(received: bytes) -> Photo:
    """Check a file, turn the picture upright, and make what is kept of it.

    Raises NoImage, ImageTooLarge, NotAnImage and ImageBroken, in this order of precedence.
    """
    if not received:
        raise NoImage
    if len(received) > settings.RECEIPT_MAX_BYTES:
        raise ImageTooLarge
    image_format = _format_of(received)
    if image_format is None:
        raise NotAnImage
    try:
        if image_format == "JPEG":
            _check_end(received)
        picture = _decode(received, image_format)
        return Photo(
            content=_jpeg(picture, QUALITY),
            thumbnail=_jpeg(_within(picture, THUMBNAIL_SIDE), THUMBNAIL_QUALITY),
            sha256=hashlib.sha256(received).hexdigest(),
            difference_hash=difference_hash(picture),
        )
    except Exception as error:
        # Decoders raise whatever comes to them from a broken or a hostile file.
        raise ImageBroken from error


def _format_of(received: bytes) -> str | None:
    """Pillow's name for the type of the content; None for all that are not taken."""
    if received.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if received.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if received.startswith(b"RIFF") and received[8:12] == b"WEBP":
        return "WEBP"
    if received[4:8] == b"ftyp":
        end = min(int.from_bytes(received[:4]), 256)
        major, compatible = received[8:12], received[16:end]
        brands = {compatible[at : at + 4] for at in range(0, len(compatible), 4)}
        if major in _HEIC_BRANDS or (major in _CONTAINER_BRANDS and brands & _HEIC_BRANDS):
            return "HEIF"
    return None


def _check_end(jpeg: bytes) -> None:
    """Raise ImageBroken when the picture has no end: decoders forgive the loss of a few bytes.

    Phones put other things behind the end, so it is looked for behind the last start of a scan;
    inside of one the two bytes of the marker never stand (ITU T.81, B.1.1.5).
    """
    if jpeg.find(b"\xff\xd9", jpeg.rfind(b"\xff\xda")) < 0:
        raise ImageBroken


def _decode(received: bytes, image_format: str) -> Image.Image:
    """Decode all of it: RGB, upright, on white paper, no larger than needed, no metadata."""
    with Image.open(io.BytesIO(received), formats=[image_format]) as opened:
        width, height = opened.size
        if width * height > settings.RECEIPT_MAX_PIXELS:
            raise ImageBroken
        if image_format == "JPEG":
            # Decodes straight to a half or a quarter where that is still enough.
            scale = _scale(width, height)
            opened.draft("RGB", (math.ceil(width * scale), math.ceil(height * scale)))
        opened.load()
        picture = _smaller(_on_white(_upright(opened)))
    picture.info = {}
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    """Turn the picture as its camera says; one whose metadata is unreadable stays as it is.

    Pillow's exif_transpose would write the metadata anew, and fail with phones that write nonsense.
    """
    turn = None
    with suppress(Exception):
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    return picture if turn is None else picture.transpose(turn)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # 16 bits of grey: Pillow would cut off whatever is brighter than 255.
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        picture = paper
    return picture.convert("RGB")


def _scale(width: int, height: int) -> float:
    long, short = max(width, height), min(width, height)
    return min(1.0, max(LONGEST_SIDE / long, SHORTEST_SIDE / short), UTMOST_SIDE / long)


def _smaller(picture: Image.Image) -> Image.Image:
    scale = _scale(*picture.size)
    if scale == 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _within(picture: Image.Image, side: int) -> Image.Image:
    copy = picture.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def difference_hash(picture: Image.Image) -> str:
    """256 bits in hex: for each of 16 × 16 cells whether its right neighbour is brighter."""
    small = picture.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS)
    cells = small.tobytes()
    bits = 0
    for row in range(HASH_SIDE):
        start = row * (HASH_SIDE + 1)
        for left, right in zip(
            cells[start : start + HASH_SIDE],
            cells[start + 1 : start + HASH_SIDE + 1],
            strict=True,
        ):
            bits = bits << 1 | (left < right)
    return f"{bits:0{HASH_SIDE * HASH_SIDE // 4}x}"


def distance(one: str, other: str) -> int:
    """In how many of the 256 bits two difference hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
