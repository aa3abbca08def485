from django.http import FileResponse, Http404, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from ops.access import is_platform_staff
from ops.client_address import client_address, is_loopback
from ops.errors import Unavailable
from ops.services import files, health


def _is_staff(request, report):
    # Asking who it is takes the database, which must not hang this answer as well.
    return report.checks["database"]["status"] == "ok" and is_platform_staff(request.user)


@method_decorator(csrf_exempt, name="dispatch")
class HealthView(View):
    """Whether the platform can serve; the details are for platform staff and loopback."""

    readiness = False
    words = ("healthy", "unhealthy")

    def get(self, request):
        report = health.report(readiness=self.readiness)
        good, bad = self.words
        answer: dict[str, object] = {"status": good if report.is_healthy else bad}
        if is_loopback(client_address(request)) or _is_staff(request, report):
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


@method_decorator(csrf_exempt, name="dispatch")
class SignedFileView(View):
    """The bytes behind a signed address."""

    def get(self, request, token):
        file = files.by_signed_token(token)
        if file is None:
            raise Http404
        try:
            content = files.open_to_read(file)
        except FileNotFoundError as error:
            raise Http404 from error
        except Unavailable as refusal:
            return HttpResponse(
                str(refusal),
                status=refusal.status,
                content_type="text/plain; charset=utf-8",
                headers={"Retry-After": str(refusal.retry_after), "Cache-Control": "no-store"},
            )
        response = FileResponse(content, content_type=file.media_type)
        response["Cache-Control"] = "private, max-age=900"
        return response
