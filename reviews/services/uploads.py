"""Submitting a photo of a receipt, and how many more a person may submit today."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.models import User
from accounts.services.merged_accounts import account_ids, is_own
from accounts.services.points import lock_open
from accounts.services.profile import tiers_around
from catalog.models import Shop
from ops.days import seconds_left, start_of_day
from ops.errors import DomainError
from ops.models import FilePurpose, StoredFile
from ops.request_context import at_shop
from ops.services import files, pictures
from ops.transactions import in_transaction
from reviews import events
from reviews.errors import SubmittedBefore, UploadQuotaUsed
from reviews.live_settings import POINTS_PER_YUAN, UPLOADS_A_DAY, UPLOADS_A_DAY_PREMIUM
from reviews.metrics import UPLOADS
from reviews.models import ProcessRecord, Receipt, ReceiptStatus
from reviews.photos import Photo
from reviews.services.process import process_receipt


@dataclass(slots=True, kw_only=True)
class StoredPhoto:
    """A photo whose pictures are in the storage; a receipt's once it is submitted."""

    photo: Photo
    picture: StoredFile
    thumbnail: StoredFile
    is_submitted: bool = False


@contextmanager
def photo_stored(photo: Photo, *, person_id: int, name: str = "") -> Iterator[StoredPhoto]:
    """Write the pictures before the transaction that needs them.

    They are temporary until `submit` makes them permanent. When the block ends in a refusal, or
    nothing was made of them (the answer was an earlier one), they are taken away again.
    """
    picture, thumbnail = pictures.store(
        photo,
        purpose=FilePurpose.RECEIPT,
        thumbnail_purpose=FilePurpose.RECEIPT_THUMBNAIL,
        owner_id=person_id,
        name=name,
    )
    stored = StoredPhoto(photo=photo, picture=picture, thumbnail=thumbnail)
    try:
        yield stored
    except DomainError:
        files.discard(picture, thumbnail)
        raise
    # After any other failure nobody knows what was committed: unless it was, they expire.
    if not stored.is_submitted:
        files.discard(picture, thumbnail)


def uploaded_at(shops: frozenset[int]) -> Exists:
    """Whether the person at hand has a receipt at one of these shops; over rows of people."""
    return Exists(Receipt.objects.filter(person=OuterRef("pk"), shop__in=shops))


@in_transaction
def submit(*, person: User, amount: Decimal, stored: StoredPhoto, shop: Shop) -> Receipt:
    """Make a pending receipt of a stored photo and have it read once that is committed.

    `amount` is what the person entered, in yuan. Raises SubmittedBefore (5006) and
    UploadQuotaUsed (5007).
    """
    at_shop(shop.pk)
    photo = stored.photo
    submission = _submission_number(person, photo.sha256)
    # The row is held until commit: of one person's uploads at the same time, each is counted.
    person = lock_open(person.pk)
    if uploads_left_today(person) <= 0:
        raise UploadQuotaUsed(limit=_quota(person), retry_after=seconds_left(timezone.now()))
    tier, _next = tiers_around(person.lifetime_points)
    receipt = Receipt(
        person=person,
        shop=shop,
        input_amount=amount,
        picture=stored.picture,
        thumbnail=stored.thumbnail,
        sha256=photo.sha256,
        submission=submission,
        difference_hash=photo.difference_hash,
        points_per_yuan=POINTS_PER_YUAN.value,
        multiplier=tier.multiplier if tier else Decimal(1),
    )
    receipt.estimated_points = receipt.worth
    try:
        with transaction.atomic():
            receipt.save(force_insert=True)
    except IntegrityError:
        # Somebody sent the same file at the same moment and was first.
        _submission_number(person, photo.sha256)
        raise
    files.make_permanent(stored.picture, stored.thumbnail)
    stored.is_submitted = True
    record = ProcessRecord.objects.create(receipt=receipt)
    receipt.processes = [record]
    events.progress_changed(record)
    # robust: the photo is safe by now, and the sweep sends again what did not reach the queue.
    transaction.on_commit(partial(process_receipt.enqueue, record.pk), robust=True)
    UPLOADS.add_on_commit()
    return receipt


def _submission_number(person: User, sha256: str) -> int:
    """1 for a new file, 2 for the person's own rejected one; raises SubmittedBefore otherwise."""
    # Locked, so that what is rejected now is still rejected when its successor is written.
    earlier = list(Receipt.objects.locked().filter(sha256=sha256))
    if not earlier:
        return 1
    own = [receipt for receipt in earlier if is_own(person, receipt.person_id)]
    if len(earlier) == len(own) == 1 and own[0].status == ReceiptStatus.REJECTED:
        return 2
    raise SubmittedBefore(**({"upload_id": own[-1].pk} if own else {}))


def uploads_left_today(person: User) -> int:
    """How many more receipts the person may submit before midnight.

    What came from accounts that were merged into theirs counts: a merge gives no second quota.
    """
    today = start_of_day(timezone.now())
    mine = Receipt.objects.filter(person__in=account_ids(person))
    used = mine.filter(created_at__gte=today).count()
    return max(0, _quota(person) - used)


def counted_of(person: User) -> dict[str, int]:
    """How many receipts a person submitted, as their statistics say it."""
    return {"uploads": Receipt.objects.filter(person__in=account_ids(person)).count()}


def _quota(person: User) -> int:
    if person.daily_upload_quota is not None:
        return person.daily_upload_quota
    return (UPLOADS_A_DAY_PREMIUM if person.is_premium else UPLOADS_A_DAY).value
