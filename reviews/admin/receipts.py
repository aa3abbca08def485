from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from ops.admin_base import ReadOnlyAdmin, change_each
from ops.services import files
from ops.walls import OfShop
from reviews import risk
from reviews.limits import LONGEST_REASON
from reviews.models import Receipt
from reviews.services import review
from reviews.services.review import Action, Decision
from reviews.services.reviewers import reviewer_for


class RejectForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        help_text=_("The customer reads it."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
    )


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    """Receipts change by the actions alone, which do what the API does."""

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
    fieldsets = [
        (None, {"fields": ["large_picture", "person", "shop", "status", "created_at"]}),
        (
            _("As entered and as read"),
            {
                "fields": [
                    "input_amount",
                    "recognized_amount",
                    "confidence",
                    "receipt_number",
                    "issued_at",
                    "submission",
                ]
            },
        ),
        (_("Risk"), {"fields": ["risk_score", "risk_texts"]}),
        (
            _("Points"),
            {"fields": ["points_per_yuan", "multiplier", "estimated_points", "points_awarded"]},
        ),
        (_("Review"), {"fields": ["reviewer", "reviewed_at", "review_reason"]}),
    ]
    readonly_fields = ["large_picture", "risk_texts"]

    @admin.display(description=_("picture"))
    def small_picture(self, receipt):
        address = files.signed_path(receipt.thumbnail)
        # The theme resets the attribute `height` of pictures, but not a style.
        style = "height: 4.5rem; width: auto; max-width: none"
        return format_html('<img src="{}" alt="#{}" style="{}">', address, receipt.pk, style)

    @admin.display(description=_("picture"))
    def large_picture(self, receipt):
        address = files.signed_path(receipt.picture)
        return format_html(
            '<a href="{}" target="_blank"><img src="{}" alt="#{}" width="480"></a>',
            address,
            address,
            receipt.pk,
        )

    @admin.display(description=_("risk reasons"))
    def risk_texts(self, receipt):
        texts = [(reason.text,) for reason in risk.stored_reasons(receipt)]
        return format_html_join("", "<div>{}</div>", texts) or "-"

    def has_review_permission(self, request, receipt=None):
        return self.may(request, "review", receipt)

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
