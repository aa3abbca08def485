from typing import override

from django.http import HttpResponse
from django.urls import get_urlconf
from django.utils.csp import CSP
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation

from config.api_documents import FORMS, written
from ops.api.views import OpenView


class StartView(TemplateView):
    """The ways in, until the web client takes this place."""

    template_name = "start.html"


class SchemaNegotiation(DefaultContentNegotiation):
    """Takes the client's wish for a form where there is one."""

    @override
    def select_renderer(self, request, renderers, format_suffix=None):
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type


class SchemaView(OpenView):
    """The API as OpenAPI 3.1: JSON, or YAML for those who accept only that."""

    schema = None
    authentication_classes = ()
    renderer_classes = FORMS
    content_negotiation_class = SchemaNegotiation

    def get(self, request):
        form = request.accepted_renderer.media_type
        # In English whatever is asked for, so that all generated clients are alike.
        headers = {"Content-Language": "en"}
        return HttpResponse(written(form, get_urlconf()), content_type=form, headers=headers)


DOCUMENTS_CSP: dict[str, list[str]] = {
    "default-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    # Swagger UI writes styles into its page; its script comes from an address of its own.
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "frame-ancestors": [CSP.NONE],
}


@method_decorator(csp_override(DOCUMENTS_CSP), name="dispatch")
class DocumentsView(SpectacularSwaggerSplitView):
    """The API to read and to try out."""

    http_method_names = ["get", "head"]
