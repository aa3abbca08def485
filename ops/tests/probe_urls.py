"""The addresses of the views for tests, before those of the platform."""

from django.urls import path

from config.urls import urlpatterns as real_ones
from ops.tests import probe_views

urlpatterns = [
    path("api/fail/<str:how>", probe_views.FailProbeView.as_view()),
    path("api/shape", probe_views.ShapeProbeView.as_view()),
    path("api/echo", probe_views.EchoProbeView.as_view()),
    path("api/form", probe_views.FormProbeView.as_view()),
    path("api/denied", probe_views.DeniedProbeView.as_view()),
    path("api/broken-answer", probe_views.BrokenAnswerProbeView.as_view()),
    path("api/generic", probe_views.GenericProbeView.as_view()),
    path("api/lazy", probe_views.LazyProbeView.as_view()),
    path("api/once", probe_views.OnceProbeView.as_view()),
    path("api/once/<path:rest>", probe_views.OnceProbeView.as_view()),
    path("api/plain", probe_views.plain_probe),
    path("api/broken", probe_views.broken_probe),
    path("broken", probe_views.broken_probe),
    path("leaking", probe_views.leaking_probe),
    *real_ones,
]
