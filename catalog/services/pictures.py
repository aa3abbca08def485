"""Product pictures: two sizes of each, put behind one another."""

from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from catalog.errors import NotAPicture
from catalog.models import Product, ProductImage
from ops.models import FilePurpose, StoredFile
from ops.services import audit, files, pictures
from ops.services.pictures import Renditions

TYPES = ("JPEG", "PNG", "WEBP")
LONGEST_SIDE = 1600
THUMBNAIL_SIDE = 400
QUALITY = 85


def largest_picture() -> int:
    """The size of the largest file that is taken, in bytes."""
    size: int = settings.RECEIPT_MAX_BYTES
    return size


def read_picture(content: bytes) -> Renditions:
    """Check a file and make of it what is kept, in a turn of its own if it has none.

    Raises NotAPicture, and Unavailable when too many pictures wait.
    """
    return pictures.in_turn(partial(_read_picture, content))


def _read_picture(content: bytes) -> Renditions:
    if len(content) > largest_picture():
        raise NotAPicture
    try:
        decoded = pictures.decode(
            content,
            scale=pictures.within(LONGEST_SIDE),
            max_pixels=settings.RECEIPT_MAX_PIXELS,
            types=TYPES,
        )
    except (pictures.UnknownType, pictures.BrokenPicture) as error:
        raise NotAPicture from error
    return pictures.render(
        decoded.image, quality=QUALITY, thumbnail_side=THUMBNAIL_SIDE, thumbnail_quality=QUALITY
    )


def store_picture(renditions: Renditions, *, name: str = "") -> tuple[StoredFile, StoredFile]:
    """Write a picture and its thumbnail into the storage, temporary until a product has them."""
    return pictures.store(
        renditions,
        purpose=FilePurpose.PRODUCT,
        thumbnail_purpose=FilePurpose.PRODUCT,
        name=name,
    )


def add_picture(
    *, product_id: int, content: bytes, name: str = "", author_id: int | None = None
) -> ProductImage:
    """Put a picture behind the others of a product; audited. Raises NotAPicture."""
    file, thumbnail = store_picture(read_picture(content), name=name)
    with transaction.atomic():
        images = ProductImage.objects.filter(product_id=product_id)
        last = images.aggregate(last=Max("position"))["last"]
        files.make_permanent(file, thumbnail)
        image = ProductImage.objects.create(
            product_id=product_id,
            file=file,
            thumbnail=thumbnail,
            position=0 if last is None else last + 1,
        )
        audit.record(
            action="productimage.add",
            row=image,
            after={"product": product_id, "file": file.pk, "position": image.position},
            shop_id=Product.objects.values_list("shop_id", flat=True).get(pk=product_id),
            actor_id=author_id,
        )
        return image
