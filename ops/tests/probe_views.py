"""Views for tests alone: they fail in every way, echo, and have an effect once."""

from collections.abc import Callable

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from accounts.models import PointsSource, User
from accounts.services.points import change_points
from ops.api.fields import IdentifierField, TextField, WholeNumberField
from ops.api.parsers import FormParser, JSONParser, MultiPartParser
from ops.api.views import AnswerOnceView, ApiView, OpenView
from ops.errors import DomainError, NotAllowed, NotFound, TooManyRequests, Unavailable


class OddProbeCount(DomainError):
    code, status, message = 3004, 400, "count"


class OddProbeAmount(DomainError):
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


class FailProbeView(OpenView):
    schema = None

    def get(self, request, how):
        raise FAILURES[how]()


class ProbeLine(serializers.Serializer):
    n = serializers.IntegerField()


class ProbeShape(serializers.Serializer):
    refusals = {"count": OddProbeCount, "amount": OddProbeAmount}

    amount = TextField()
    count = WholeNumberField(min_value=1, max_value=10)
    note = TextField(required=False, max_length=5)
    product_id = IdentifierField()
    lines = ProbeLine(many=True, required=False)
    where = ProbeLine(required=False)

    def validate_lines(self, lines):
        """Refuse with a list of reasons, one entry for each line; the framework gives a mapping."""
        reasons = [{} if line["n"] else {"n": ["Not zero."]} for line in lines]
        if any(reasons):
            raise serializers.ValidationError(reasons)
        return lines


class ShapeProbeView(ApiView):
    schema = None

    def post(self, request):
        return Response(self.body(ProbeShape))


class EchoProbeView(OpenView):
    """Answers with the body as it was read."""

    schema = None

    def post(self, request):
        return Response({"read": request.data})

    put = patch = delete = post


class FormProbeView(OpenView):
    schema = None
    parser_classes = [MultiPartParser, FormParser, JSONParser]

    def post(self, request):
        return Response({"names": sorted(request.data)})


class DeniedProbeView(ApiView):
    schema = None

    def check_permissions(self, request):
        super().check_permissions(request)
        raise NotAllowed

    def post(self, request):
        raise NotFound


class BrokenAnswerProbeView(OpenView):
    schema = None

    def get(self, request):
        return Response({"x": object()})


class GenericProbeView(OpenView):
    """Says what it reads and answers in the framework's way alone."""

    serializer_class = ProbeLine

    def post(self, request):
        return Response(self.body(self.serializer_class))


class LazyProbeView(OpenView):
    schema = None

    def get(self, request):
        return Response({"why": gettext_lazy("This field is required.")})


def plain_probe(request):
    raise Http404


def broken_probe(request):
    raise ZeroDivisionError("password=hunter2")


def leaking_probe(request):
    """Fail with much at hand that no error page may show."""
    code = request.POST["code"]
    leak(
        {"asked": [request.user], "all": User.objects.all()},
        {"token": f"of {code}", "nickname": f"called {code}", "page": f"page-{1 + 1}"},
        f"sent to {request.POST['to']}",
    )


def leak(people, body, text):
    try:
        int(text)
    except ValueError as error:
        raise LookupError(f"password={body['token'].split()[1]} {text}, about page-1") from error


# --- An effect ----------------------------------------------------------------------------------
before_the_end = None  # a function that runs inside the effect, when its work is done


class OnceProbeShape(serializers.Serializer):
    points = serializers.IntegerField(default=1)


class OnceProbeAnswer(serializers.Serializer):
    balance = serializers.IntegerField()
    text = serializers.CharField()


class OnceProbeView(AnswerOnceView):
    """Gives the person points and answers with the balance."""

    parser_classes = [JSONParser, MultiPartParser]
    schema = None
    shape = OnceProbeShape
    answer = OnceProbeAnswer

    def effect(self, request, body):
        entry = change_points(
            person_id=request.user.pk, points=body["points"], source=PointsSource.ADJUST
        )
        match self.kwargs.get("rest"):
            case "nowhere":
                raise NotFound
            case "broken":
                raise ZeroDivisionError("a secret of the shop")
        if before_the_end is not None:
            before_the_end()
        return {"balance": entry.balance_after, "text": "积分 🎲"}
