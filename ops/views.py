import ipaddress

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, JsonResponse
from django.views import View

from config.api import client_address
from ops.services import files, health


def _is_loopback(request):
    try:
        return ipaddress.ip_address(client_address(request)).is_loopback
    except ValueError:
        return False


class HealthView(View):
    """Whether the platform can serve; the details are for loopback."""

    readiness = False
    words = ("healthy", "unhealthy")

    def get(self, request):
        report = health.report(readiness=self.readiness)
        answer = {"status": self.words[0] if report.is_healthy else self.words[1]}
        if _is_loopback(request):
            answer["checks"] = report.checks
        response = JsonResponse(answer, status=200 if report.is_healthy else 503)
        if not report.is_healthy:
            response["Retry-After"] = "5"
        response["Cache-Control"] = "no-store"
        return response


class ReadyView(HealthView):
    """Whether this process should be sent requests."""

    readiness = True
    words = ("ready", "not ready")


class SignedFileView(View):
    """The bytes behind a signed address."""

    def get(self, request, token):
        file = files.by_signed_token(token)
        if file is None or not default_storage.exists(file.path):
            raise Http404
        response = FileResponse(default_storage.open(file.path), content_type=file.media_type)
        response["Cache-Control"] = "private, max-age=900"
        return response
