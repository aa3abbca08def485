"""Product pictures: re-encoded without metadata, in two sizes."""

import io
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Max
from PIL import Image, ImageOps, UnidentifiedImageError

from catalog.errors import NotAPicture
from catalog.models import ProductImage
from ops.models import FilePurpose, StoredFile
from ops.services import files

FORMATS = ("JPEG", "PNG", "WEBP")
LONGEST_SIDE = 1600
THUMBNAIL_SIDE = 400


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is kept: two JPEGs."""

    content: bytes
    thumbnail: bytes


def read_picture(content: bytes) -> Picture:
    """Check a file and make of it what is kept, upright on white. Raises NotAPicture."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > settings.RECEIPT_MAX_PIXELS:
                raise NotAPicture
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise NotAPicture from error
    paper = Image.new("RGBA", upright.size, "white")
    paper.alpha_composite(upright)
    picture = paper.convert("RGB")
    return Picture(content=_jpeg(picture, LONGEST_SIDE), thumbnail=_jpeg(picture, THUMBNAIL_SIDE))


def _jpeg(picture: Image.Image, longest_side: int) -> bytes:
    smaller = picture.copy()
    smaller.thumbnail((longest_side, longest_side))
    written = io.BytesIO()
    smaller.save(written, format="JPEG", quality=85)
    return written.getvalue()


def store_picture(picture: Picture, *, name: str = "") -> tuple[StoredFile, StoredFile]:
    """Write a picture and its thumbnail into the storage."""
    file, thumbnail = (
        files.store(
            content=content, purpose=FilePurpose.PRODUCT, media_type="image/jpeg", name=name
        )
        for content in (picture.content, picture.thumbnail)
    )
    return file, thumbnail


def add_picture(*, product_id: int, content: bytes, name: str = "") -> ProductImage:
    """Put a picture behind the others of a product. Raises NotAPicture."""
    file, thumbnail = store_picture(read_picture(content), name=name)
    images = ProductImage.objects.filter(product_id=product_id)
    last = images.aggregate(last=Max("position"))["last"]
    return ProductImage.objects.create(
        product_id=product_id,
        file=file,
        thumbnail=thumbnail,
        position=0 if last is None else last + 1,
    )
