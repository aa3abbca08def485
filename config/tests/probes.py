"""Views that fail in every way, and addresses for them."""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from django.urls import path
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, serializers
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.response import Response

from config.urls import urlpatterns as real_ones
from ops.api.fields import IdentifierField, TextField, WholeNumberField
from ops.api.parsers import JSONParser
from ops.api.views import ApiView, OpenView
from ops.errors import DomainError, NotAllowed, NotFound, TooManyRequests, Unavailable


class OddCount(DomainError):
    code, status, message = 3004, 400, "count"


class OddAmount(DomainError):
    code, status, message = 5002, 400, "amount"


FAILURES: dict[str, Callable[[], Exception]] = {
    "domain": lambda: TooManyRequests(retry_after=7),
    "away": Unavailable,
    "database": lambda: OperationalError("server closed the connection, password=hunter2"),
    "bug": lambda: ZeroDivisionError("password=hunter2"),
    "http404": Http404,
    "denied": PermissionDenied,
    "drf denied": exceptions.PermissionDenied,
    "drf missing": exceptions.NotFound,
    "throttled": lambda: exceptions.Throttled(30),
    "throttled for ever": exceptions.Throttled,
    "not signed in": exceptions.NotAuthenticated,
    "suspicious": lambda: SuspiciousOperation("x"),
}


class FailView(OpenView):
    schema = None

    def get(self, request, how):
        raise FAILURES[how]()


class Line(serializers.Serializer):
    n = serializers.IntegerField()


class Shape(serializers.Serializer):
    refusals = {"count": OddCount, "amount": OddAmount}

    amount = TextField()
    count = WholeNumberField(min_value=1, max_value=10)
    note = TextField(required=False, max_length=5)
    product_id = IdentifierField()
    lines = Line(many=True, required=False)
    where = Line(required=False)


class ShapeView(ApiView):
    schema = None

    def post(self, request):
        return Response(self.body(Shape))


class EchoView(OpenView):
    """Answers with the body as it was read, after a query that may be asked for."""

    schema = None

    def post(self, request):
        return Response({"read": request.data})

    put = patch = delete = post


class FormView(OpenView):
    schema = None
    parser_classes = [MultiPartParser, FormParser, JSONParser]

    def post(self, request):
        return Response({"names": sorted(request.data)})


class DeniedView(ApiView):
    schema = None

    def check_permissions(self, request):
        super().check_permissions(request)
        raise NotAllowed

    def post(self, request):
        raise NotFound


class BrokenAnswerView(OpenView):
    schema = None

    def get(self, request):
        return Response({"x": object()})


class LazyView(OpenView):
    schema = None

    def get(self, request):
        return Response({"why": gettext_lazy("This field is required.")})


def plain(request):
    raise Http404


def broken(request):
    raise ZeroDivisionError("password=hunter2")


urlpatterns = [
    path("api/fail/<str:how>", FailView.as_view()),
    path("api/shape", ShapeView.as_view()),
    path("api/echo", EchoView.as_view()),
    path("api/form", FormView.as_view()),
    path("api/denied", DeniedView.as_view()),
    path("api/broken-answer", BrokenAnswerView.as_view()),
    path("api/lazy", LazyView.as_view()),
    path("api/plain", plain),
    path("api/broken", broken),
    *real_ones,
]
