from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.services.merged_accounts import is_own
from ops.admin_base import ReadOnlyAdmin, change_each, change_page
from ops.errors import DomainError
from ops.identifiers import find, read_identifier
from ops.services import files
from ops.walls import OfShop
from reviews import risk
from reviews.admin.decision_forms import ApproveForm, ReadyRejectForm, RejectForm
from reviews.errors import InvalidDecision
from reviews.models import Receipt, ReceiptStatus
from reviews.services import queue, review
from reviews.services.review import Action, Decision
from reviews.services.reviewers import reviewer_for


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    """Receipts change by decisions alone, which do what the API does.

    On the page of a receipt somebody decides about it, in the list about many at once.
    """

    wall = OfShop("shop")
    list_display = [
        "small_picture",
        "id",
        "status",
        "input_amount",
        "recognized_amount",
        "confidence",
        "risk_score",
        "estimated_points",
        "person",
        "shop",
        "created_at",
    ]
    list_display_links = ["small_picture", "id"]
    list_filter = ["status", "shop", "created_at"]
    list_select_related = ["person", "shop", "thumbnail"]
    search_fields = ["=person__phone", "person__nickname", "receipt_number"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    search_help_text = _("Nickname, whole phone number or receipt number")
    ordering = ["-id"]
    actions = ["approve", "reject"]

    @admin.display(description=_("picture"))
    def small_picture(self, receipt):
        address = files.signed_path(receipt.thumbnail_id)
        # The theme resets the attribute `height` of pictures, but not a style.
        style = "height: 4.5rem; width: auto; max-width: none"
        return format_html('<img src="{}" alt="#{}" style="{}">', address, receipt.pk, style)

    # --- Who may decide -----------------------------------------------------------------------
    def has_review_permission(self, request, receipt=None):
        reviewer = self._reviewer(request)
        if reviewer is None or not self.may(request, "review", receipt):
            return False
        return receipt is None or reviewer.reviews_at(receipt.shop_id)

    def _reviewer(self, request):
        """As whom somebody decides here; None for those who may not."""
        if not self.may(request, "review"):
            return None
        try:
            return reviewer_for(request.user)
        except DomainError:
            return None

    # --- A receipt's own page -----------------------------------------------------------------
    def get_urls(self):
        decide = path(
            "<path:object_id>/decide/",
            self.admin_site.admin_view(self.decide_view),
            name="reviews_receipt_decide",
        )
        return [decide, *super().get_urls()]

    def change_view(self, request, object_id, *args, **options):
        """Show the receipt with all that a decision about it needs."""
        receipt = self._shown_receipt(request, object_id)
        if request.method == "POST":  # it is decided at an address of its own
            raise PermissionDenied
        return self._page(request, receipt)

    def decide_view(self, request, object_id):
        """Decide about the receipt as the API does, and go on to the next one that waits."""
        receipt = self._shown_receipt(request, object_id)
        if request.method != "POST":
            return redirect(_address(receipt))
        if not self.has_review_permission(request, receipt):
            raise PermissionDenied
        shapes = {shape.action: shape for shape in (ApproveForm, ReadyRejectForm)}
        shape = shapes.get(request.POST.get("action"))
        if shape is None:
            self.message_user(request, str(InvalidDecision()), messages.ERROR)
            return self._page(request, receipt)
        form = shape(request.POST)
        if not form.is_valid():
            return self._page(request, receipt, sent=form)
        reviewer = reviewer_for(request.user)
        decide = partial(review.review, reviewer=reviewer, decision=form.decision(receipt))
        told = partial(form.told, receipt)
        if not change_page(self, request, change=decide, success=told):
            return self._page(request, self._shown_receipt(request, object_id), sent=form)
        following = queue.next_for(reviewer, after=receipt)
        if following is None:
            self.message_user(request, _("No other receipt waits for you."), messages.INFO)
            return redirect("admin:reviews_receipt_changelist")
        return redirect(_address(following))

    def _shown_receipt(self, request, object_id):
        receipts: Any = self.get_queryset(request).select_related(
            "person", "shop", "picture", "reviewer"
        )
        receipt = find(receipts.with_process(), read_identifier(object_id))
        if receipt is None:
            self.note_nothing_there(object_id)
            raise Http404
        if not self.has_view_permission(request, receipt):
            raise PermissionDenied
        return receipt

    def _page(self, request, receipt, *, sent=None):
        """The page of a receipt; `sent` is the form that was sent and refused."""
        reviewer = self._reviewer(request)
        forms = {
            Action.APPROVE: ApproveForm(initial={"points": receipt.estimated_points}),
            Action.REJECT: ReadyRejectForm(),
        }
        if sent is not None:
            forms[sent.action] = sent
        context = {
            **self.admin_site.each_context(request),
            "title": f"{self.opts.verbose_name} #{receipt.pk}",
            "opts": self.opts,
            "original": receipt,
            "object": receipt,
            "receipt": receipt,
            "picture": files.signed_path(receipt.picture_id),
            "reasons": risk.stored_reasons(receipt.risk_reasons),
            "highest_risk": risk.HIGHEST_SCORE,
            "missing": abs(receipt.amount_difference or 0),
            "confidence": int(100 * (receipt.confidence or 0)),
            "is_unsure": risk.is_unsure(receipt),
            "not_read": _("not read yet") if receipt.is_being_read else _("not read"),
            "is_approved": receipt.status == ReceiptStatus.APPROVED,
            "state": self._state(request, receipt),
            "may_review": reviewer is not None,
            "waiting": queue.waiting_for(reviewer).count() if reviewer else 0,
            "following": queue.next_for(reviewer, after=receipt) if reviewer else None,
            "approve_form": forms[Action.APPROVE],
            "reject_form": forms[Action.REJECT],
        }
        return TemplateResponse(request, "admin/reviews/receipt/change_form.html", context)

    def _state(self, request, receipt):
        """What the page has to say about deciding: only an `open` receipt has the forms for it."""
        if receipt.status != ReceiptStatus.PENDING:
            return "decided"
        if not self.has_review_permission(request, receipt):
            return "not_allowed"
        if is_own(request.user, receipt.person_id):
            return "own"
        return "being_read" if receipt.is_being_read else "open"

    # --- Actions of the list ------------------------------------------------------------------
    @admin.action(description=_("Approve with the estimated points"), permissions=["review"])
    def approve(self, request, receipts):
        self._review(request, receipts, action=Action.APPROVE)

    @admin.action(description=_("Reject"), permissions=["review"])
    def reject(self, request, receipts):
        form = RejectForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            return self._review(request, receipts, action=Action.REJECT, reason=reason)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Reject receipts"),
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "receipts": receipts,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/reviews/receipt/reject.html", context)

    def _review(self, request, receipts, *, action, reason=""):
        reviewer = reviewer_for(request.user)

        def decide(receipt):
            decision = Decision(upload_id=receipt.pk, action=action, reason=reason)
            review.review(reviewer=reviewer, decision=decision)

        if decided := change_each(self, request, rows=receipts, change=decide):
            text = _("%(action)s: %(count)d") % {"action": action.label, "count": decided}
            self.message_user(request, text, messages.SUCCESS)


def _address(receipt):
    return reverse("admin:reviews_receipt_change", args=[receipt.pk])
