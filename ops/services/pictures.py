"""The one way to take pictures from outside: decoded safely, kept as pixels and nothing else.

Files come from strangers: the type is told from the content, and the size is known from the
header before anything is decoded. What is made of a picture is a temporary file until somebody
needs it for good (`files.make_permanent`).
"""

import io
import math
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from ops.models import FilePurpose, StoredFile
from ops.services import files

register_heif_opener()

# Longer than any request: what a killed process left behind is told by it.
UNUSED_FOR = timedelta(hours=1)

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

type Scale = Callable[[int, int], float]


class UnknownType(Exception):
    """The content is no picture, or of a type that is not taken."""


class BrokenPicture(Exception):
    """A picture that is broken, cut off or has too many pixels."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture, and to which part of the size of its file it was shrunk (1 at most)."""

    image: Image.Image
    scale: float


@dataclass(frozen=True, slots=True)
class Renditions:
    """A picture as it is kept: two JPEGs without metadata."""

    content: bytes
    thumbnail: bytes


# --- Decoding -----------------------------------------------------------------------------------
def decode(
    received: bytes,
    *,
    scale: Scale,
    max_pixels: int,
    types: Collection[str] = ("JPEG", "PNG", "WEBP", "HEIF"),
) -> Decoded:
    """Decode all of a file: RGB, upright, on white paper, no larger than needed, no metadata.

    `scale(width, height)` says to which part of its size in pixels a picture is shrunk, 1 at most;
    `types` are Pillow's names. Raises UnknownType; and BrokenPicture, also for more pixels than
    `max_pixels`.
    """
    image_type = _type_of(received)
    if image_type not in types:
        raise UnknownType
    try:
        if image_type == "JPEG":
            _check_end(received)
        with Image.open(io.BytesIO(received), formats=[image_type]) as opened:
            if opened.width * opened.height > max_pixels:
                raise BrokenPicture  # noqa: TRY301  a decompression bomb; one way out
            longest_side = max(opened.size)
            if image_type == "JPEG":
                # Decodes straight to a half or a quarter where that is still enough.
                part = scale(*opened.size)
                wanted = (math.ceil(opened.width * part), math.ceil(opened.height * part))
                opened.draft("RGB", wanted)
            opened.load()
            picture = _shrink(_on_white(_upright(opened)), scale)
    except Exception as error:
        # Decoders raise whatever comes to them from a broken or a hostile file.
        raise BrokenPicture from error
    picture.info = {}
    return Decoded(image=picture, scale=max(picture.size) / longest_side)


def within(side: int) -> Scale:
    """The scale that lets a picture fit into a square, in pixels."""

    def scale(width: int, height: int) -> float:
        return min(1.0, side / max(width, height))

    return scale


def _type_of(received: bytes) -> str:
    """Pillow's name for the type of the content; empty for all that are never taken."""
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
    return ""


def _check_end(jpeg: bytes) -> None:
    """Raise BrokenPicture when the file has no end: decoders forgive the loss of a few bytes.

    Phones put other things behind the end, so it is looked for behind the last start of a scan;
    inside of one the two bytes of the marker never stand (ITU T.81, B.1.1.5).
    """
    if jpeg.find(b"\xff\xd9", jpeg.rfind(b"\xff\xda")) < 0:
        raise BrokenPicture


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


def _shrink(picture: Image.Image, scale: Scale) -> Image.Image:
    part = scale(*picture.size)
    if part >= 1:
        return picture
    size = (max(1, round(picture.width * part)), max(1, round(picture.height * part)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


# --- What is kept -------------------------------------------------------------------------------
def render(
    picture: Image.Image, *, quality: int, thumbnail_side: int, thumbnail_quality: int
) -> Renditions:
    """Write a decoded picture as JPEG, as it is and within a square of so many pixels."""
    small = _shrink(picture, within(thumbnail_side))
    return Renditions(content=_jpeg(picture, quality), thumbnail=_jpeg(small, thumbnail_quality))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def store(
    renditions: Renditions,
    *,
    purpose: FilePurpose,
    thumbnail_purpose: FilePurpose,
    owner_id: int | None = None,
    name: str = "",
) -> tuple[StoredFile, StoredFile]:
    """Write a picture and its thumbnail into the storage, for an hour unless they are needed."""
    expires_at = timezone.now() + UNUSED_FOR
    file, thumbnail = (
        files.store(
            content=content,
            purpose=what,
            media_type="image/jpeg",
            owner_id=owner_id,
            name=name,
            expires_at=expires_at,
        )
        for content, what in (
            (renditions.content, purpose),
            (renditions.thumbnail, thumbnail_purpose),
        )
    )
    return file, thumbnail
