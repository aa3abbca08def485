from typing import override

from django.utils.csp import CSP
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from django.views.generic import TemplateView
from drf_spectacular.renderers import (
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation


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


class SchemaView(SpectacularAPIView):
    """The API as OpenAPI 3: JSON, or YAML for those who accept only that."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2]
    content_negotiation_class = SchemaNegotiation


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
