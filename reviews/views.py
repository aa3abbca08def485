from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.response import Response

from accounts.services.merged_accounts import account_ids
from catalog.errors import NotAMerchant
from catalog.services.shops import only_open_shop, open_shop
from ops.api.fields import IdentifierField
from ops.api.idempotency import answer_once
from ops.api.pagination import page
from ops.api.parsers import FormParser, JSONParser, MultiPartParser
from ops.api.throttle import UploadThrottle
from ops.api.views import AnswerOnceView, ApiView
from ops.errors import NotAllowed, ValidationFailed
from ops.identifiers import find, read_identifier
from ops.services.pictures import in_turn
from reviews import serializers
from reviews.errors import (
    AlreadyReviewed,
    ImageBroken,
    ImageTooLarge,
    InvalidDecision,
    NotAnImage,
    OwnReceipt,
    PaidBefore,
    PointsNeedManager,
    PointsNeedSecondPerson,
    ProcessNotEnded,
    ReviewNotFound,
    SubmittedBefore,
    UploadNotFound,
    UploadQuotaUsed,
)
from reviews.limits import largest_photo
from reviews.models import Receipt
from reviews.photos import check_photo
from reviews.services import review, uploads
from reviews.services.reviewers import reviewer_for

LONGEST_ECHO = 40  # characters


class MayReview(BasePermission):
    """Only for those who review receipts somewhere; refuses with 6001 or 1009."""

    refusals = (NotAMerchant, NotAllowed)

    def has_permission(self, request, view):
        return bool(view.reviewer)


class ForReviewers:
    """A view for those who review receipts somewhere."""

    permission_classes: Any = (IsAuthenticated, MayReview)
    request: Any

    @cached_property
    def reviewer(self):
        """What the person may review; raises NotAMerchant (6001) and NotAllowed (1009)."""
        return reviewer_for(self.request.user)


class UploadView(ApiView):
    """Submit a photo of a receipt; it is read in the background, then a shop decides."""

    honours_idempotency_key = True
    parser_classes = (MultiPartParser, FormParser, JSONParser)
    throttle_classes = (*ApiView.throttle_classes, UploadThrottle)
    # Far over what an image may have, so that it is told apart by 5004.
    max_body_bytes = 64 * 1024 * 1024
    refusals = (ImageTooLarge, NotAnImage, ImageBroken, SubmittedBefore, UploadQuotaUsed)

    def initial(self, request, *args, **kwargs):
        try:
            super().initial(request, *args, **kwargs)
        except RequestDataTooBig:
            # A long text where the image should be: still no 1018 on this path.
            raise ImageTooLarge from None

    @extend_schema(
        request={"multipart/form-data": serializers.UploadInput},
        responses=serializers.UploadOutput,
    )
    def post(self, request):
        # The picture is judged first, whatever else is wrong: that is the contract's order.
        image = self.body(serializers.PhotoInput)["image"]
        # Read in its turn, so that nothing of it stands in memory before. One byte more than is
        # taken is enough to tell that there are too many.
        photo = in_turn(
            lambda: check_photo(image.read(largest_photo() + 1)), owner_id=request.user.pk
        )
        body = self.body(serializers.UploadInput)
        with uploads.photo_stored(photo, person_id=request.user.pk, name=image.name) as stored:
            return answer_once(request, partial(self._submit, request, body, stored))

    def _submit(self, request, body, stored):
        receipt = uploads.submit(
            person=request.user,
            amount=body["amount"],
            stored=stored,
            shop=open_shop(body["shop_id"]) if "shop_id" in body else only_open_shop(),
        )
        return serializers.UploadOutput(receipt, context={"request": request}).data


class HistoryView(ApiView):
    """The person's own uploads, newest first."""

    @extend_schema(
        parameters=[serializers.HistoryQuery], responses=serializers.ReceiptOutput(many=True)
    )
    def get(self, request):
        wanted = self.query(serializers.HistoryQuery)
        receipts = Receipt.objects.filter(person__in=account_ids(request.user), **wanted)
        rows, following = page(request, receipts.values(*serializers.COLUMNS_OF_RECEIPTS))
        items = serializers.receipt_items(request, rows)
        return Response({"items": items, "next": following})


class UploadDetailView(ApiView):
    """One of the person's own uploads."""

    refusals = (UploadNotFound,)

    @extend_schema(responses=serializers.ReceiptOutput)
    def get(self, request, upload_id):
        mine = Receipt.objects.filter(person__in=account_ids(request.user)).with_process()
        receipt = find(mine, read_identifier(upload_id))
        if receipt is None:
            raise UploadNotFound
        return Response(serializers.ReceiptOutput(receipt, context={"request": request}).data)


class ReviewsView(ForReviewers, ApiView):
    """The receipts of the shops where the person reviews, newest first: those that wait."""

    @extend_schema(
        parameters=[serializers.ReviewQuery], responses=serializers.ReviewOutput(many=True)
    )
    def get(self, request):
        wanted = self.query(serializers.ReviewQuery)
        receipts = Receipt.objects.filter(shop__in=self.reviewer.shops)
        if "shop" in wanted:
            shop = find(self.reviewer.shops, wanted["shop"])
            if shop is None:
                raise ValidationFailed({"shop": [_("You review at no shop with this id.")]})
            receipts = receipts.filter(shop=shop)
        if wanted["status"] != serializers.ANY_STATUS:
            receipts = receipts.filter(status=wanted["status"])
        if "risk" in wanted:
            receipts = receipts.filter(risk_score__gte=wanted["risk"])
        rows, following = page(request, receipts.values(*serializers.COLUMNS_OF_REVIEWS))
        items = serializers.review_items(request, rows)
        return Response({"items": items, "next": following})


class ReviewView(ForReviewers, AnswerOnceView):
    """Approve or reject one receipt."""

    shape = serializers.DecisionInput
    answer = serializers.DecisionOutput
    refusals = (
        ReviewNotFound,
        OwnReceipt,
        AlreadyReviewed,
        ProcessNotEnded,
        PaidBefore,
        PointsNeedManager,
        PointsNeedSecondPerson,
    )

    def effect(self, request, body):
        decision = review.Decision(**body)
        reviewed = review.review(reviewer=self.reviewer, decision=decision)
        return {
            "upload_id": reviewed.receipt.pk,
            "action": decision.action,
            "points_awarded": reviewed.receipt.points_awarded,
            "user_new_balance": reviewed.balance,
        }


class BatchView(ForReviewers, AnswerOnceView):
    """Decide about many receipts, each on its own: a refused one stops no other."""

    shape = serializers.BatchInput
    answer = serializers.BatchOutput

    def effect(self, request, body):
        items = body["items"]
        shape = serializers.DecisionInput()  # one for all: building it takes longer than using it
        decisions = {}
        for at, item in enumerate(items):
            with suppress(ValidationError):
                decisions[at] = review.Decision(**shape.run_validation(item))
        outcomes = review.review_batch(reviewer=self.reviewer, decisions=list(decisions.values()))
        refusals = dict(zip(decisions, outcomes, strict=True))
        results = [
            _result(item, refusals.get(at, InvalidDecision())) for at, item in enumerate(items)
        ]
        return {"results": results}


def _result(item, refusal):
    return {
        "upload_id": _echo(item.get("upload_id")),
        "code": refusal.code if refusal else 0,
        "msg": str(refusal) if refusal else "success",
    }


def _echo(upload_id):
    """What was sent as an id, so that its sender knows it again; null where nobody could."""
    if isinstance(upload_id, str) and len(upload_id) <= LONGEST_ECHO and upload_id.isprintable():
        return upload_id
    return IdentifierField().to_internal_value(upload_id)
