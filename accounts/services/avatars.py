"""The picture of a person, kept as all pictures are: as pixels and nothing else."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from accounts.errors import ImageBroken, ImageTooLarge, NoImage, NotAnImage
from accounts.limits import largest_avatar
from accounts.models import User
from accounts.services.points import lock_person
from ops.models import FilePurpose, StoredFile
from ops.services import files, pictures
from ops.transactions import in_transaction

SIDE = 512  # pixels that it has at most
QUALITY = 85
UNUSED_FOR = timedelta(hours=1)  # what a killed process left behind is older


def read_picture(received: bytes) -> bytes:
    """Check a file and make of it what is kept: a JPEG, upright, within a square.

    Call it in a turn (`pictures.in_turn`): it is no small work. Raises NoImage, ImageTooLarge,
    NotAnImage and ImageBroken, in this order of precedence.
    """
    if not received:
        raise NoImage
    if len(received) > largest_avatar():
        raise ImageTooLarge
    try:
        decoded = pictures.decode(
            received, scale=pictures.within(SIDE), max_pixels=settings.RECEIPT_MAX_PIXELS
        )
    except pictures.UnknownType as error:
        raise NotAnImage from error
    except pictures.BrokenPicture as error:
        raise ImageBroken from error
    renditions = pictures.render(
        decoded.image, quality=QUALITY, thumbnail_side=SIDE, thumbnail_quality=QUALITY
    )
    return renditions.content


def store_picture(content: bytes, *, person_id: int, name: str = "") -> StoredFile:
    """Write a picture into the storage, for an hour unless a person has it by then."""
    return files.store(
        content=content,
        purpose=FilePurpose.AVATAR,
        media_type="image/jpeg",
        owner_id=person_id,
        name=name,
        expires_at=timezone.now() + UNUSED_FOR,
    )


@in_transaction
def change(*, person_id: int, picture: StoredFile) -> None:
    """Give a person this picture; the one before is taken away by the job of expired files.

    Raises Unavailable where the picture waited for so long that it may be gone.
    """
    person = lock_person(person_id)
    files.make_permanent(picture)
    User.objects.filter(pk=person.pk).update(avatar=picture)
    let_go(person)


def let_go(person: User) -> None:
    """Let the job of expired files take the picture away that this person had, if any."""
    if person.avatar_id is not None:
        StoredFile.objects.filter(pk=person.avatar_id).update(
            is_temporary=True, expires_at=timezone.now()
        )
