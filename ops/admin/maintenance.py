"""The page on which platform staff switch maintenance; it stays open while it is on."""

from datetime import timedelta
from functools import partial

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from ops.access import access_of
from ops.models import Maintenance
from ops.models.maintenance import LONGEST_MESSAGE, MOST_MINUTES
from ops.services import maintenance


class MaintenanceForm(forms.Form):
    message = forms.CharField(
        label=_("message"),
        max_length=LONGEST_MESSAGE,
        required=False,
        help_text=_("What people read; a sentence in both languages where it is empty."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    minutes = forms.IntegerField(
        label=_("minutes"),
        min_value=1,
        max_value=MOST_MINUTES,
        required=False,
        help_text=_("About how long it takes: apps come back then."),
        widget=UnfoldAdminIntegerFieldWidget,
    )


def show(request):
    """Whether it is on and what is still running; the form for those who may switch it."""
    access = access_of(request.user)
    may_look = access.may_everywhere("ops.view_processbeat")
    may_switch = access.may_everywhere("ops.switch_maintenance")
    if not (may_look or may_switch) or (request.method == "POST" and not may_switch):
        raise PermissionDenied
    form = MaintenanceForm(request.POST or None)
    if request.method == "POST" and _switch(request, form):
        return redirect("admin:ops_processbeat_maintenance")
    row = Maintenance.objects.filter(is_on=True).first()
    if not form.is_bound:
        form = MaintenanceForm(initial={"message": row.message} if row else {})
    context = {
        **admin.site.each_context(request),
        "title": _("Maintenance"),
        "row": row,
        "in_hand": maintenance.in_hand(in_a_hurry=True) if row else None,
        "seen_by_all_after": maintenance.SEEN_BY_ALL_AFTER,
        "form": form,
        "may_look": may_look,
        "may_switch": may_switch,
    }
    return TemplateResponse(request, "admin/ops/status/maintenance.html", context)


def _switch(request, form):
    """Whether what was sent was done; a form that is refused stays, with its reasons."""
    if "off" in request.POST:
        switch, done = maintenance.turn_off, _("Maintenance is off.")
    elif "on" in request.POST and form.is_valid():
        minutes = form.cleaned_data["minutes"]
        until = timezone.now() + timedelta(minutes=minutes) if minutes else None
        said = {"message": form.cleaned_data["message"], "until": until}
        switch, done = partial(maintenance.turn_on, **said), _("Maintenance is on.")
    else:
        return False
    is_changed = switch(author_id=request.user.pk)
    messages.success(request, done if is_changed else _("Nothing was changed: it was so already."))
    return True
