import hmac

from django.conf import settings
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseForbidden,
    HttpResponseNotFound,
    JsonResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.text import format_lazy
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema

from ops.access import is_platform_staff
from ops.api.kept import Content, KeptView
from ops.client_address import client_address, is_loopback
from ops.errors import Unavailable
from ops.live_settings import SIGNED_ADDRESS_LIFETIME
from ops.services import files, health, live_settings, metrics, public_files
from ops.setting_kinds import declared

NOT_KEPT = {"Cache-Control": "no-store"}
FOR_EVER = "public, max-age=31536000, immutable"  # a year is the most that caches know


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
class MetricsView(View):
    """The metrics of this machine, for Prometheus: it comes from loopback, or has the token."""

    def get(self, request):
        if not (is_loopback(client_address(request)) or _has_metrics_token(request)):
            return HttpResponseForbidden(content_type="text/plain", headers=NOT_KEPT)
        return HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE, headers=NOT_KEPT)


def _has_metrics_token(request):
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    is_right = hmac.compare_digest(token.strip().encode(), expected.encode())
    return bool(expected) and scheme.lower() == "bearer" and is_right


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
            return _say_unavailable(refusal)
        response = FileResponse(content, content_type=file.media_type)
        seconds = SIGNED_ADDRESS_LIFETIME.value.total_seconds()
        response["Cache-Control"] = f"private, max-age={seconds:.0f}"
        return response


@method_decorator(csrf_exempt, name="dispatch")
class PublicFileView(View):
    """The bytes behind a public address: nobody is asked who they are, everybody may keep them."""

    def get(self, request, sha256, extension):
        copies = public_files.copies_of(sha256=sha256, extension=extension)
        if not copies:
            return _say_not_there()
        etag = f'"{sha256}"'
        unread = HttpResponse(
            content_type=copies[0].media_type, headers={"Cache-Control": FOR_EVER, "ETag": etag}
        )
        response = get_conditional_response(request, etag=etag, response=unread)
        if response is unread:
            try:
                response.content = public_files.read_copy(copies)
            except FileNotFoundError:
                return _say_not_there()
            except Unavailable as refusal:
                return _say_unavailable(refusal)
        return response


def _public_settings():
    """What the answer below says, as JSON Schema."""
    public = {key: one for key, one in sorted(declared.items()) if one.is_public}
    return {
        "type": "object",
        "required": list(public),
        "properties": {
            key: {**one.schema, "description": _description(one)} for key, one in public.items()
        },
    }


def _description(setting):
    unit = setting.schema.get("description")
    form = "{}. {} {}" if unit else "{}. {}"
    return format_lazy(form, setting.label, setting.description, unit)


class ConfigView(KeptView):
    """The public settings by key: durations in seconds, decimals as strings."""

    topic = live_settings.TOPIC

    @extend_schema(responses={200: _public_settings()})
    def get(self, request):
        return self.answer(request, lambda _request: Content(live_settings.public_values()))


def _say_not_there():
    """404 that nobody keeps: the file may be stored, or brought back, the next moment."""
    return HttpResponseNotFound(content_type="text/plain", headers={"Cache-Control": "no-store"})


def _say_unavailable(refusal):
    return HttpResponse(
        str(refusal),
        status=refusal.status,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": str(refusal.retry_after), "Cache-Control": "no-store"},
    )
