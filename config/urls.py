from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from accounts.pages import EmailLinkView
from config.views import DocumentsView, SchemaView, StartView
from ops.api.views import UnknownPathView
from ops.views import (
    ConfigView,
    HealthView,
    MetricsView,
    PublicFileView,
    ReadyView,
    SignedFileView,
)

api: list[URLPattern | URLResolver] = [
    path("health", HealthView.as_view()),
    path("ready", ReadyView.as_view()),
    path("config", ConfigView.as_view()),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocumentsView.as_view(url_name="schema"), name="docs"),
    path("", include("accounts.urls")),
    path("", include("catalog.urls")),
    path("", include("lottery.urls")),
    path("", include("reviews.urls")),
    path("", include("favorites.urls")),
    re_path(r"", UnknownPathView.as_view()),
]

urlpatterns = [
    path("", StartView.as_view(), name="start"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("health", HealthView.as_view(), name="health"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    re_path(
        r"^files/public/(?P<sha256>[0-9a-f]{64})\.(?P<extension>[a-z]+)\Z",
        PublicFileView.as_view(),
        name="public-file",
    ),
    path("email/<str:token>", EmailLinkView.as_view(), name="email-link"),
    path("files/<str:token>", SignedFileView.as_view(), name="signed-file"),
    path("api", UnknownPathView.as_view()),
    path("api/", include(api)),
]
