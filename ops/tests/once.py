"""A view with an effect, and the addresses it is tried under."""

from django.urls import path
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser

from accounts.models import PointsSource
from accounts.services.points import change_points
from config.urls import urlpatterns as real_ones
from ops.api.parsers import JSONParser
from ops.api.views import AnswerOnceView
from ops.errors import NotFound

before_the_end = None  # a function that runs inside the effect, when its work is done


class Shape(serializers.Serializer):
    points = serializers.IntegerField(default=1)


class Answer(serializers.Serializer):
    balance = serializers.IntegerField()
    text = serializers.CharField()


class OnceView(AnswerOnceView):
    """Gives the person points and answers with the balance."""

    parser_classes = [JSONParser, MultiPartParser]
    schema = None
    shape = Shape
    answer = Answer

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


urlpatterns = [
    path("api/once", OnceView.as_view()),
    path("api/once/<path:rest>", OnceView.as_view()),
    *real_ones,
]
