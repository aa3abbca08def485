"""What the console asks for before it decides about receipts."""

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from reviews.limits import LONGEST_REASON, MOST_POINTS
from reviews.services.review import Action, Decision

READY_REASONS = {
    "blurred": _("The picture is too blurred to read."),
    "other_shop": _("This is not a receipt of this shop."),
    "other_amount": _("The entered amount does not match the receipt."),
    "submitted_before": _("This receipt was submitted before."),
}


class ApproveForm(forms.Form):
    action = Action.APPROVE

    points = forms.IntegerField(
        label=_("Points"),
        min_value=0,
        max_value=MOST_POINTS,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
    )

    def decision(self, receipt):
        points = self.cleaned_data["points"]
        return Decision(upload_id=receipt.pk, action=self.action, points=points)

    def told(self, receipt):
        """What was done, once it is done."""
        facts = {"receipt": receipt.pk, "points": self.cleaned_data["points"]}
        return _("Receipt #%(receipt)s is approved with %(points)s points.") % facts


class RejectForm(forms.Form):
    action = Action.REJECT

    reason = forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        help_text=_("The customer reads it."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
    )


class ReadyRejectForm(RejectForm):
    """Rejects for reasons that are clicked, typed or both; one in each line."""

    ready = forms.MultipleChoiceField(
        choices=list(READY_REASONS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason = forms.CharField(
        label=_("In your own words"),
        max_length=LONGEST_REASON,
        required=False,
        help_text=_("The customer reads it."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    def clean(self):
        super().clean()
        given = self.cleaned_data
        chosen = [str(READY_REASONS[code]) for code in given.get("ready", [])]
        typed = given.get("reason", "")
        self.whole_reason = "\n".join([*chosen, typed] if typed else chosen)
        if not self.errors and not self.whole_reason:
            self.add_error("reason", _("Say why it is rejected."))
        if len(self.whole_reason) > LONGEST_REASON:
            text = _("All reasons together have at most %(most)s characters.")
            self.add_error("reason", text % {"most": LONGEST_REASON})
        return given

    def decision(self, receipt):
        return Decision(upload_id=receipt.pk, action=self.action, reason=self.whole_reason)

    def told(self, receipt):
        """What was done, once it is done."""
        return _("Receipt #%(receipt)s is rejected.") % {"receipt": receipt.pk}
