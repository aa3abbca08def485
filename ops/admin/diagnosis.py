"""The page that says what is wrong with the database, and what helps. It changes nothing."""

from itertools import groupby

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.access import access_of
from ops.diagnosis import connecting, health, rights, structure
from ops.diagnosis.diagnosis import diagnose
from ops.diagnosis.findings import Severity, worst

LABELS = {
    connecting.PART: _("Connection"),
    rights.PART: _("Rights"),
    structure.PART: _("Tables"),
    health.PART: _("Health"),
}


def show(request):
    """Look at the database now, for those who may see how the platform stands."""
    if not access_of(request.user).may_everywhere("ops.view_processbeat"):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    found = diagnose()
    context = {
        **admin.site.each_context(request),
        "title": _("Database diagnosis"),
        "now": timezone.now(),
        "is_well": worst(found) == Severity.GOOD,
        "parts": [
            (LABELS[name], list(findings))
            for name, findings in groupby(found, lambda one: one.part)
        ],
    }
    return TemplateResponse(request, "admin/ops/status/diagnosis.html", context)
