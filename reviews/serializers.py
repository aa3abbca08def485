import re
from decimal import Decimal
from typing import ClassVar

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ops.api.fields import (
    IDENTIFIER,
    NO_FIELD,
    IdentifierField,
    TextField,
    WholeNumberField,
)
from ops.api.rows import Writer
from ops.errors import DomainError
from ops.identifiers import read_identifier
from ops.sensitive import masked
from ops.services import files
from reviews import risk
from reviews.errors import InvalidAmount, InvalidDecision, NoImage
from reviews.limits import (
    LARGEST_AMOUNT,
    LEAST_AMOUNT,
    LONGEST_REASON,
    MOST_POINTS,
    largest_photo_in_megabytes,
    most_pixels,
)
from reviews.models import ProcessError, ProcessRecord, Receipt, ReceiptStatus, readings
from reviews.services.review import Action

AMOUNT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
MOST_ITEMS = 100
ANY_STATUS = "all"


class PhotoField(serializers.FileField):
    """A file as it was sent; whether it is a picture, and which, is not asked here."""

    def __init__(self, **kwargs):
        megabytes = largest_photo_in_megabytes()
        megapixels = most_pixels() // 10**6
        text = f"JPEG, PNG, WebP or HEIC, at most {megabytes} MB and {megapixels} megapixels."
        super().__init__(**{"help_text": text, **kwargs})

    def to_internal_value(self, data):
        if not isinstance(data, UploadedFile):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "string", "pattern": f"^{AMOUNT.pattern}$", "examples": ["128.50"]})
class AmountField(TextField):
    """An amount in yuan as people type it."""

    def to_internal_value(self, data):
        text = super().to_internal_value(data)
        if not AMOUNT.fullmatch(text) or not LEAST_AMOUNT <= Decimal(text) <= LARGEST_AMOUNT:
            self.fail("invalid")
        return Decimal(text)


@extend_schema_field(IDENTIFIER)
class FormIdentifierField(TextField):
    """The id of something in a form, where all is text; None for text that cannot be one."""

    def to_internal_value(self, data):
        return read_identifier(super().to_internal_value(data))


class PhotoInput(serializers.Serializer):
    # A body that is no object has no image either.
    refusals: ClassVar[dict[str, type[DomainError]]] = {"image": NoImage, NO_FIELD: NoImage}

    image = PhotoField()


class UploadInput(PhotoInput):
    refusals = {"image": NoImage, "amount": InvalidAmount}

    amount = AmountField(help_text=f"In yuan, {LEAST_AMOUNT} to {LARGEST_AMOUNT}, e.g. 128.50.")
    shop_id = FormIdentifierField(
        required=False, help_text="May be left out while only one shop is open."
    )


class DecisionInput(serializers.Serializer):
    refusals = {
        "action": InvalidDecision,
        "points": InvalidDecision,
        "reason": InvalidDecision,
    }

    upload_id = IdentifierField(is_needed=True)
    action = serializers.ChoiceField(choices=Action.choices)
    points = WholeNumberField(
        required=False,
        allow_null=True,
        default=None,
        min_value=0,
        max_value=MOST_POINTS,
        help_text="Left out or null: the estimate.",
    )
    reason = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        default="",
        max_length=LONGEST_REASON,
        help_text="For the customer; needed to reject.",
    )

    def validate_action(self, action):
        return Action(action)

    def validate_reason(self, reason):
        return (reason or "").strip()

    def validate(self, decision):
        if decision["action"] == Action.REJECT and not decision["reason"]:
            raise serializers.ValidationError({"reason": [_("Say why it is rejected.")]})
        return decision


@extend_schema_field(DecisionInput)
class ItemField(serializers.DictField):
    """One decision of many; what is wrong with it is said in its own result."""


class BatchInput(serializers.Serializer):
    items = serializers.ListField(
        child=ItemField(), max_length=MOST_ITEMS, help_text="As for one review."
    )


class HistoryQuery(serializers.Serializer):
    status = serializers.ChoiceField(choices=ReceiptStatus.choices, required=False)


class ReviewQuery(serializers.Serializer):
    status = serializers.ChoiceField(
        choices=[*ReceiptStatus.choices, (ANY_STATUS, ANY_STATUS)],
        required=False,
        default=ReceiptStatus.PENDING.value,
    )
    shop = FormIdentifierField(required=False, help_text="One of the shops one works at.")
    risk = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=risk.HIGHEST_SCORE,
        help_text="The lowest risk score to show.",
    )


class TaskOutput(serializers.ModelSerializer):
    """The process that reads a receipt: OCR, duplicates, risk."""

    task_id = serializers.IntegerField(source="pk")
    model_name = serializers.SerializerMethodField()
    processing_time = serializers.IntegerField(
        source="duration", allow_null=True, help_text="In milliseconds; null until it is completed."
    )
    error = serializers.SerializerMethodField()

    class Meta:
        model = ProcessRecord
        fields = ["task_id", "status", "progress", "model_name", "processing_time", "error"]

    def get_model_name(self, record) -> str | None:
        return record.model_name or None

    def get_error(self, record) -> str | None:
        return record.get_error_display() or None


class PicturesOutput(serializers.ModelSerializer):
    """An upload's signed addresses: no header needed, good for a while."""

    upload_id = serializers.IntegerField(source="pk")
    image_url = serializers.SerializerMethodField()
    thumbnail_url = serializers.SerializerMethodField()
    review_status = serializers.ChoiceField(choices=ReceiptStatus.choices, source="status")

    @extend_schema_field(serializers.URLField)
    def get_image_url(self, receipt) -> str:
        return self._address(receipt.picture_id)

    @extend_schema_field(serializers.URLField)
    def get_thumbnail_url(self, receipt) -> str:
        return self._address(receipt.thumbnail_id)

    def _address(self, file_id):
        return self.context["request"].build_absolute_uri(files.signed_path(file_id))


class UploadOutput(PicturesOutput):
    task_id = serializers.IntegerField(source="process.pk")
    message = serializers.SerializerMethodField()

    class Meta:
        model = Receipt
        fields = [
            "upload_id",
            "image_url",
            "thumbnail_url",
            "estimated_points",
            "review_status",
            "recognized_amount",
            "task_id",
            "message",
        ]

    def get_message(self, receipt) -> str:
        return _("Uploaded. The shop will look at it soon.")


class ReceiptOutput(PicturesOutput):
    review_reason = serializers.SerializerMethodField()
    review_time = serializers.DateTimeField(source="reviewed_at", allow_null=True)
    task = TaskOutput(source="process")

    class Meta:
        model = Receipt
        fields = [
            "upload_id",
            "image_url",
            "thumbnail_url",
            "input_amount",
            "recognized_amount",
            "confidence",
            "estimated_points",
            "review_status",
            "points_awarded",
            "review_reason",
            "review_time",
            "created_at",
            "task",
        ]

    def get_review_reason(self, receipt) -> str | None:
        return receipt.review_reason or None


class ReasonOutput(serializers.Serializer):
    """Why a receipt may be wrong."""

    code = serializers.ChoiceField(choices=list(risk.REASONS))
    text = serializers.CharField(help_text="For people, in the language of the request.")


class RiskOutput(serializers.Serializer):
    score = serializers.IntegerField(source="risk_score", help_text="0 to 100.")
    reasons = serializers.SerializerMethodField()

    @extend_schema_field(ReasonOutput(many=True))
    def get_reasons(self, receipt):
        return ReasonOutput(risk.stored_reasons(receipt.risk_reasons), many=True).data


class CustomerOutput(serializers.Serializer):
    nickname = serializers.CharField()
    mobile = serializers.CharField(source="masked_phone", allow_null=True)


class ReviewOutput(ReceiptOutput):
    user = CustomerOutput(source="person")
    risk = RiskOutput(source="*")

    class Meta(ReceiptOutput.Meta):
        fields = [*ReceiptOutput.Meta.fields, "user", "risk"]


# --- Lists, from columns --------------------------------------------------------------------------
COLUMNS_OF_RECEIPTS = (
    "id",
    "picture_id",
    "thumbnail_id",
    "input_amount",
    "recognized_amount",
    "confidence",
    "estimated_points",
    "status",
    "points_awarded",
    "review_reason",
    "reviewed_at",
    "created_at",
)
COLUMNS_OF_REVIEWS = (
    *COLUMNS_OF_RECEIPTS,
    "person__nickname",
    "person__phone",
    "risk_score",
    "risk_reasons",
)
_COLUMNS_OF_TASKS = (
    "receipt_id",
    "id",
    "status",
    "progress",
    "model_name",
    "duration",
    "error",
)


def receipt_items(request, rows):
    """Receipts as `ReceiptOutput` shows them, from their columns; processes in a query for all."""
    write = Writer(request)
    tasks = _tasks_of([row["id"] for row in rows])
    return [
        {
            "upload_id": row["id"],
            "image_url": write.address(files.signed_path(row["picture_id"])),
            "thumbnail_url": write.address(files.signed_path(row["thumbnail_id"])),
            "input_amount": write.decimal(row["input_amount"]),
            "recognized_amount": write.decimal(row["recognized_amount"]),
            "confidence": write.decimal(row["confidence"]),
            "estimated_points": row["estimated_points"],
            "review_status": row["status"],
            "points_awarded": row["points_awarded"],
            "review_reason": row["review_reason"] or None,
            "review_time": write.moment(row["reviewed_at"]),
            "created_at": write.moment(row["created_at"]),
            "task": tasks[row["id"]],
        }
        for row in rows
    ]


def _tasks_of(receipt_ids):
    """The newest process that read each of these receipts, as `TaskOutput` shows it."""
    errors = {error.value: str(error.label) for error in ProcessError}
    newest_first = readings().filter(receipt__in=receipt_ids)
    tasks = {}
    for row in newest_first.values(*_COLUMNS_OF_TASKS):
        if row["receipt_id"] not in tasks:
            tasks[row["receipt_id"]] = {
                "task_id": row["id"],
                "status": row["status"],
                "progress": row["progress"],
                "model_name": row["model_name"] or None,
                "processing_time": row["duration"],
                "error": errors.get(row["error"], row["error"]) or None,
            }
    return tasks


def review_items(request, rows):
    """Receipts as `ReviewOutput` shows them, from their columns."""
    return [
        {
            **item,
            "user": {
                "nickname": row["person__nickname"],
                "mobile": masked(row["person__phone"]) if row["person__phone"] else None,
            },
            "risk": {
                "score": row["risk_score"],
                "reasons": [
                    {"code": reason.code, "text": reason.text}
                    for reason in risk.stored_reasons(row["risk_reasons"])
                ],
            },
        }
        for item, row in zip(receipt_items(request, rows), rows, strict=True)
    ]


class DecisionOutput(serializers.Serializer):
    upload_id = serializers.IntegerField()
    action = serializers.ChoiceField(choices=Action.choices)
    points_awarded = serializers.IntegerField(help_text="0 for a rejection.")
    user_new_balance = serializers.IntegerField()


@extend_schema_field({"type": ["integer", "string", "null"]})
class EchoField(serializers.JSONField):
    """An id as its sender wrote it; null where nobody would know it again."""


class ResultOutput(serializers.Serializer):
    upload_id = EchoField(help_text="As it was sent.")
    code = serializers.IntegerField(help_text="0, or the code of the refusal.")
    msg = serializers.CharField()


class BatchOutput(serializers.Serializer):
    results = ResultOutput(many=True)
