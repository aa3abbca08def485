"""What a photo must be to be taken as a receipt, and how like another one it is."""

import hashlib
from dataclasses import dataclass

from PIL import Image

from ops.services import pictures
from ops.services.pictures import Renditions
from reviews.errors import ImageBroken, ImageTooLarge, NoImage, NotAnImage
from reviews.limits import is_shape_of_receipt, largest_photo, most_pixels

LONGEST_SIDE = 4000
# A long slip keeps this much of its width, or its letters would be lost...
SHORTEST_SIDE = 1000
THUMBNAIL_SIDE = 480
QUALITY = 90
THUMBNAIL_QUALITY = 80
HASH_SIDE = 16


@dataclass(frozen=True, slots=True)
class Photo(Renditions):
    """A photo that was taken: what is kept of it, and what to recognise it by."""

    sha256: str  # of the file as it was received
    difference_hash: str


def check_photo(received: bytes) -> Photo:
    """Check a file, turn the picture upright, and make what is kept of it.

    Call it in a turn (`pictures.in_turn`): it is no small work. Raises NoImage, ImageTooLarge,
    NotAnImage and ImageBroken, in this order of precedence.
    """
    if not received:
        raise NoImage
    if len(received) > largest_photo():
        raise ImageTooLarge
    try:
        picture = pictures.decode(
            received, scale=_scale, max_pixels=most_pixels(), sides=is_shape_of_receipt
        ).image
    except pictures.UnknownType as error:
        raise NotAnImage from error
    except pictures.BrokenPicture as error:
        raise ImageBroken from error
    renditions = pictures.render(
        picture,
        quality=QUALITY,
        thumbnail_side=THUMBNAIL_SIDE,
        thumbnail_quality=THUMBNAIL_QUALITY,
    )
    return Photo(
        content=renditions.content,
        thumbnail=renditions.thumbnail,
        sha256=hashlib.sha256(received).hexdigest(),
        difference_hash=difference_hash(picture),
    )


def _scale(width: int, height: int) -> float:
    long, short = max(width, height), min(width, height)
    return min(1.0, max(LONGEST_SIDE / long, SHORTEST_SIDE / short))


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
