"""Stored files: written once, found by their row, reached by signed addresses."""

import hashlib
import uuid
from datetime import datetime

from django.conf import settings
from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from ops.errors import Unavailable
from ops.models import FilePurpose, StoredFile
from ops.services.failed_rows import do_each

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
BATCH_SIZE = 200  # expired files that one round of the job takes away
_SIGNER = signing.TimestampSigner(salt="ops.files")


def store(
    *,
    content: bytes,
    purpose: FilePurpose,
    media_type: str,
    owner_id: int | None = None,
    name: str = "",
    expires_at: datetime | None = None,
) -> StoredFile:
    """Write a file under a name that cannot be guessed, and the row that knows it.

    Call it before the transaction that needs the file: storage may be far away. Whoever refuses
    afterwards calls `discard`.
    """
    today = timezone.localdate()
    wanted = f"{purpose}/{today:%Y/%m}/{uuid.uuid4().hex}.{_EXTENSIONS.get(media_type, 'bin')}"
    path = default_storage.save(wanted, ContentFile(content))
    return StoredFile.objects.create(
        owner_id=owner_id,
        purpose=purpose,
        name=name[:255],
        path=path,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        is_temporary=expires_at is not None,
        expires_at=expires_at,
    )


def make_permanent(*files: StoredFile) -> None:
    """Make temporary files permanent, in the transaction that needs them.

    A file stored with `expires_at` and never kept is what a killed process left behind. Raises
    Unavailable when the time of one is over: it may be gone already.
    """
    in_time = StoredFile.objects.filter(
        pk__in=[file.pk for file in files], expires_at__gt=timezone.now()
    )
    if in_time.update(is_temporary=False, expires_at=None) < len(files):
        raise Unavailable


def discard(*files: StoredFile) -> None:
    """Take temporary files away again; what is made permanent meanwhile stays."""
    for file in files:
        _take_away(file)


def discard_expired(*, now: datetime) -> int:
    """Take away temporary files whose time is over, BATCH_SIZE at most; returns how many.

    One that cannot be taken away stops no other.
    """
    expired = StoredFile.objects.filter(is_temporary=True, expires_at__lte=now)
    return do_each("expired files", expired.order_by("pk"), _take_away, batch_size=BATCH_SIZE)


def _take_away(file: StoredFile) -> bool:
    """Take a temporary file away; False when another machine did, or it is permanent by now.

    The row goes first, and is committed last. What refers to it refuses before anything is gone;
    a kill in between leaves a temporary row, with or without its file, that the job finds again.
    """
    with transaction.atomic():
        # Held, so that nobody makes it permanent while its file goes.
        held = StoredFile.objects.select_for_update().filter(pk=file.pk, is_temporary=True).first()
        if held is None:
            return False
        held.delete()
        default_storage.delete(held.path)
    return True


def read(file: StoredFile) -> bytes:
    """The file's content. Raises FileNotFoundError when the storage lost it."""
    with default_storage.open(file.path) as opened:
        content: bytes = opened.read()
        return content


def signed_path(file: StoredFile) -> str:
    """An address path that needs no header and works for 15 minutes (a setting)."""
    return reverse("signed-file", args=[_SIGNER.sign(str(file.pk))])


def by_signed_token(token: str) -> StoredFile | None:
    """The file that a signed address names; None when it is forged, too old or gone."""
    try:
        pk = _SIGNER.unsign(token, max_age=settings.SIGNED_ADDRESS_LIFETIME)
    except signing.BadSignature:
        return None
    return StoredFile.objects.filter(pk=pk).first()
