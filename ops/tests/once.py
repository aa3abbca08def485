"""A view with an effect, and the addresses it is tried under."""

from django.urls import path
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser

from accounts.models import PointsSource
from accounts.services.points import change_points
from config.urls import urlpatterns as real_ones
from ops.api.idempotency import answer_once
from ops.api.parsers import JSONParser
from ops.api.views import ApiView
from ops.errors import NotFound

before_the_end = None  # a function that runs inside the effect, when its work is done


class Shape(serializers.Serializer):
    points = serializers.IntegerField(default=1)


class OnceView(ApiView):
    """Gives the person points and answers with the balance."""

    parser_classes = [JSONParser, MultiPartParser]
    schema = None

    def post(self, request, rest=""):
        points = self.body(Shape)["points"]

        def effect():
            entry = change_points(
                person_id=request.user.pk, points=points, source=PointsSource.ADJUST
            )
            if rest == "nowhere":
                raise NotFound
            if rest == "broken":
                raise ZeroDivisionError("a secret of the house")
            if before_the_end is not None:
                before_the_end()
            return {"balance": entry.balance_after, "text": "积分 🎲"}

        return answer_once(request, effect)


urlpatterns = [
    path("api/once", OnceView.as_view()),
    path("api/once/<path:rest>", OnceView.as_view()),
    *real_ones,
]
