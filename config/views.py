from django.utils.csp import CSP
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from django.views.generic import TemplateView
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation


class StartView(TemplateView):
    """The ways in, until the web client takes this place."""

    template_name = "start.html"


class SchemaView(SpectacularAPIView):
    """The API as OpenAPI 3: JSON, or YAML for those who accept only that."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer]
    content_negotiation_class = DefaultContentNegotiation


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
