"""Stored files: written once, found by their row, reached by signed addresses."""

import hashlib
import uuid
from datetime import datetime

from django.conf import settings
from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse
from django.utils import timezone

from ops.models import FilePurpose, StoredFile

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

    A file stored with `expires_at` and never kept is what a killed process left behind.
    """
    StoredFile.objects.filter(pk__in=[file.pk for file in files]).update(
        is_temporary=False, expires_at=None
    )


def discard(*files: StoredFile) -> None:
    """Take files away again, row first: a row must never promise a file that is gone."""
    for file in files:
        file.delete()
        default_storage.delete(file.path)


def discard_expired(*, now: datetime) -> int:
    """Take away temporary files whose time is over, BATCH_SIZE at most; returns how many."""
    expired = list(
        StoredFile.objects.filter(is_temporary=True, expires_at__lte=now).order_by("pk")[
            :BATCH_SIZE
        ]
    )
    discard(*expired)
    return len(expired)


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
