"""Small makers of what a test of receipts needs."""

import hashlib
import io
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from django.utils import timezone
from PIL import Image
from pillow_heif import register_heif_opener

from accounts.models import PointsEntry, PointsSource, User
from catalog.models import ShopRole
from catalog.services.shops import only_open_shop
from catalog.tests.factories import make_member, make_shop
from ops.models import FilePurpose, StoredFile
from ops.services import files
from reviews.models import (
    ProcessRecord,
    ProcessStatus,
    Receipt,
    ReceiptStatus,
    reading_key,
)
from reviews.photos import check_photo
from reviews.services import uploads
from tests.people import give, make_person

register_heif_opener()  # so that Pillow writes HEIC

numbers = count(1)
EPOCH = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def make_image(number=None, *, size=(120, 160), mode="RGB"):
    """A picture like no other one: its number is in its pixels."""
    number = next(numbers) if number is None else number
    picture = Image.new("RGB", (16, 16), (number % 256, number // 256 % 256, 90))
    picture.putpixel((number % 16, number // 16 % 16), (255, 255, 255))
    return picture.resize(size, Image.Resampling.NEAREST).convert(mode)


def make_file(number=None, *, image_format="JPEG", image=None, **options):
    """The bytes of an image file as a phone sends it."""
    target = io.BytesIO()
    (image or make_image(number)).save(target, image_format, **options)
    return target.getvalue()


def make_photo(number=None):
    return check_photo(make_file(number))


def upload(person, *, photo=None, amount="128.50", shop=None):
    """Submit a photo as the view does."""
    photo = photo or make_photo()
    with uploads.photo_stored(photo, person_id=person.pk, name="a.jpg") as stored:
        return uploads.submit(
            person=person,
            amount=Decimal(amount),
            stored=stored,
            shop=shop or only_open_shop(),
        )


def make_receipt(*, shop=None, person=None, read=True, process=ProcessStatus.COMPLETED, **fields):
    """A receipt whose process has ended; by default of 100.00 yuan and 1000 points."""
    shop, person = shop or make_shop(), person or make_person()
    number = next(numbers)
    facts = {
        "recognized_amount": Decimal("100.00") if read else None,
        "confidence": Decimal("0.9500") if read else None,
        "receipt_number": f"N{number}" if read else "",
        "issued_at": EPOCH if read else None,
    }
    values = {
        "person": person,
        "shop": shop,
        "input_amount": Decimal("100.00"),
        "picture": store_picture(b"picture", person),
        "thumbnail": store_picture(b"thumbnail", person),
        "sha256": f"{number:064x}",
        "difference_hash": hashlib.sha256(str(number).encode()).hexdigest(),
        "points_per_yuan": 10,
        "multiplier": Decimal(1),
        "estimated_points": 1000,
        **facts,
        **fields,
    }
    values.setdefault(
        "read_as",
        reading_key(
            shop_id=shop.pk,
            receipt_number=values["receipt_number"],
            issued_at=values["issued_at"],
            amount=values["recognized_amount"],
        ),
    )
    receipt = Receipt.objects.create(**values)
    if process:
        make_record(receipt, status=process)
    return receipt


def make_record(receipt, *, status=ProcessStatus.COMPLETED, **fields):
    now = timezone.now()
    values = {
        "receipt": receipt,
        "status": status,
        "progress": 100 if status == ProcessStatus.COMPLETED else 0,
        "lease_until": now if status == ProcessStatus.PROCESSING else None,
        "finished_at": now if status in {ProcessStatus.COMPLETED, ProcessStatus.FAILED} else None,
        "error": "not_read" if status == ProcessStatus.FAILED else "",
        **fields,
    }
    return ProcessRecord.objects.create(**values)


def settle(receipt, reviewer, status, *, points=0, reason=""):
    """Write a decision without asking, as somebody would who holds nothing; it pays nothing."""
    Receipt.objects.filter(pk=receipt.pk).update(
        status=status,
        points_awarded=points,
        reviewer=reviewer,
        review_reason=reason,
        reviewed_at=timezone.now(),
        paid_as=(receipt.read_as or None) if status == ReceiptStatus.APPROVED else None,
    )


def pay(receipt, points, *, source=PointsSource.PHOTO_UPLOAD, person=None):
    """Write points for a receipt into the ledger, whatever was decided about it."""
    return give(person or receipt.person, points, source=source, related_id=str(receipt.pk))


def make_decided(status=ReceiptStatus.APPROVED, *, points=0, reason="", **fields):
    """A receipt that was decided without paying anything into the ledger."""
    receipt = make_receipt(**fields)
    reason = reason or ("Unreadable" if status == ReceiptStatus.REJECTED else "")
    settle(receipt, make_person(), status, points=points, reason=reason)
    receipt.refresh_from_db()
    return receipt


def make_reviewer(shop):
    return make_member(shop=shop, role=ShopRole.REVIEWER)


def store_picture(content, person):
    return files.store(
        content=content,
        purpose=FilePurpose.RECEIPT,
        media_type="image/jpeg",
        owner_id=person.pk,
    )


def everything():
    """What no refusal may change: balances, ledger, receipts, jobs, files."""
    return {
        "people": list(User.objects.order_by("pk").values_list("pk", "total_points")),
        "ledger": PointsEntry.objects.count(),
        "receipts": list(
            Receipt.objects.order_by("pk").values_list("pk", "status", "points_awarded", "paid_as")
        ),
        "jobs": list(ProcessRecord.objects.order_by("pk").values_list("pk", "status", "attempts")),
        "files": list(StoredFile.objects.order_by("pk").values_list("pk", "path")),
    }
