"""What is counted of receipts, and how long they wait."""

from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.charts import Chart, Group, Shows
from ops.measures import Counter, Gauge, Histogram, Label
from reviews.models import Receipt, ReceiptStatus

UPLOADS = Counter("platform_uploads_total", "Receipts that were submitted.")
DECISIONS = Counter(
    "platform_decisions_total",
    "Receipts that were decided.",
    Label("decision", ("approved", "rejected")),
)
OCR_SECONDS = Histogram(
    "platform_ocr_seconds",
    "Seconds of reading one photo.",
    bounds=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0),
)
READINGS = Counter(
    "platform_readings_total",
    "Attempts at reading a receipt: taken up, and how they ended.",
    Label("outcome", ("begun", "read", "tried_again", "given_up", "queued_again")),
)


def _pending() -> float:
    return Receipt.objects.filter(status=ReceiptStatus.PENDING).count()


def _oldest() -> float:
    pending = Receipt.objects.filter(status=ReceiptStatus.PENDING)
    oldest = pending.aggregate(oldest=Min("created_at"))["oldest"]
    return 0 if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())


REVIEW_QUEUE = Gauge("platform_review_queue", "Receipts that wait for a decision.", read=_pending)
REVIEW_OLDEST = Gauge(
    "platform_review_queue_oldest_seconds",
    "For how long the oldest of them has waited.",
    read=_oldest,
)

UPLOADS_CHART = Chart(
    name="uploads",
    title=_("Receipts submitted"),
    group=Group.BUSINESS,
    measure=UPLOADS,
    shows=Shows.COUNT,
)
REVIEW_QUEUE_CHART = Chart(
    name="review_queue",
    title=_("Receipts that wait for a decision"),
    group=Group.BUSINESS,
    measure=REVIEW_QUEUE,
    shows=Shows.LEVEL,
)
