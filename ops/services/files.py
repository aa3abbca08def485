"""Stored files: written once, found by their row, reached by signed addresses.

Public ones have an address for ever as well: `public_files`.
"""

import hashlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.core import signing
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.urls import get_script_prefix, reverse
from django.utils import timezone

from ops.errors import Unavailable
from ops.live_settings import SIGNED_ADDRESS_LIFETIME
from ops.metrics import FILES_DISCARDED, FILES_STORED
from ops.models import FilePurpose, StoredFile
from ops.services.failed_rows import do_each
from ops.services.kept import do_not_keep

logger = logging.getLogger(__name__)

WRITING_TAKES = timedelta(hours=1)  # at most; a file that is not whole by then never will be
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
BATCH_SIZE = 200  # expired files that one round of the job takes away
_SIGNER = signing.TimestampSigner(salt="ops.files")


# Whose errors have no base in common, and who are not loaded where files lie in a folder.
_LIBRARIES_OF_S3 = {"boto3", "botocore", "s3transfer"}


def _is_of_the_storage(error: Exception) -> bool:
    """Whether a storage, a folder or S3, raises this when it is away."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _LIBRARIES_OF_S3


@contextmanager
def _storage_in_reach() -> Iterator[None]:
    """Raise Unavailable where the storage is away; FileNotFoundError says that a file is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if not _is_of_the_storage(error):
            raise
        logger.warning("The storage is away: %s", error)
        raise Unavailable from error


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
    afterwards calls `discard`. Raises Unavailable (1503), with nothing half written, when the
    storage is away.
    """
    today = timezone.localdate()
    # The row comes first: by it the job finds whatever is left of a file that was never whole.
    file = StoredFile.objects.create(
        owner_id=owner_id,
        purpose=purpose,
        name=name[:255],
        path=f"{purpose}/{today:%Y/%m}/{uuid.uuid4().hex}.{EXTENSIONS.get(media_type, 'bin')}",
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        is_temporary=True,
        expires_at=expires_at or timezone.now() + WRITING_TAKES,
    )
    try:
        with _storage_in_reach():
            path = default_storage.save(file.path, ContentFile(content))
    except (Unavailable, FileNotFoundError) as error:
        discard(file)
        raise Unavailable from error
    if path != file.path:  # a storage may choose another name
        file.path = path
        file.save(update_fields=["path"])
    FILES_STORED.add_on_commit(1, purpose)
    if expires_at is None:
        make_permanent(file)
        file.is_temporary, file.expires_at = False, None
    return file


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
    """Take temporary files away again; what is made permanent meanwhile stays.

    What a storage that is away does not give, the job takes away when its time is over.
    """
    for file in files:
        try:
            _take_away(file)
        except Exception as error:
            if not _is_of_the_storage(error):
                raise
            logger.warning("File %s stays until its time is over: %s", file.pk, error)


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
        FILES_DISCARDED.add_on_commit(1, file.purpose)
    return True


def read(file: StoredFile) -> bytes:
    """The file's content. Raises FileNotFoundError when the storage lost it, else Unavailable."""
    with _storage_in_reach(), default_storage.open(file.path) as opened:
        content: bytes = opened.read()
        return content


def open_to_read(file: StoredFile) -> File[Any]:
    """The file, ready to be sent: from S3 it is here as a whole. Raises as `read`."""
    with _storage_in_reach(), ExitStack() as on_failure:
        opened = on_failure.enter_context(default_storage.open(file.path))
        opened.seek(0)
        on_failure.pop_all()
        return opened


def signed_path(file_id: int) -> str:
    """A file's address path that needs no header and works for 15 minutes (a live setting)."""
    do_not_keep()
    return _before_tokens(get_script_prefix()) + _SIGNER.sign(str(file_id))


@lru_cache
def _before_tokens(_script_prefix: str) -> str:
    """What signed addresses begin with: finding it takes longer than signing, and lists sign a lot.

    A token has no character that an address would escape.
    """
    return reverse("signed-file", args=["-"]).removesuffix("-")


def by_signed_token(token: str) -> StoredFile | None:
    """The file that a signed address names; None when it is forged, too old or gone."""
    try:
        pk = _SIGNER.unsign(token, max_age=SIGNED_ADDRESS_LIFETIME.value)
    except signing.BadSignature:
        return None
    return StoredFile.objects.filter(pk=pk).first()
