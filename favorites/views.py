from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from favorites import serializers, services
from favorites.errors import FavoriteNotFound
from favorites.models import Favorite
from ops.api.pagination import page
from ops.api.views import ApiView
from ops.identifiers import read_identifier


class FavoritesView(ApiView):
    """What the person keeps, newest first."""

    refusals = {"POST": (FavoriteNotFound,)}

    @extend_schema(responses=serializers.FavoriteOutput(many=True))
    def get(self, request):
        mine = Favorite.objects.filter(person=request.user)
        rows, following = page(request, mine.values(*serializers.COLUMNS_OF_FAVORITES))
        items = serializers.favorite_items(request, rows)
        return Response({"items": items, "next": following})

    @extend_schema(request=serializers.FavoriteInput, responses=serializers.FavoriteStateOutput)
    def post(self, request):
        """Keep a product; keeping it again changes nothing."""
        body = self.body(serializers.FavoriteInput)
        favorite = services.add(person=request.user, product_id=body["product_id"])
        return Response(serializers.FavoriteStateOutput(favorite).data)


class FavoriteView(ApiView):
    """One product that the person keeps."""

    @extend_schema(responses=OpenApiTypes.NONE)
    def delete(self, request, product_id):
        """Let a product go; it does not matter whether it was kept."""
        services.remove(person=request.user, product_id=read_identifier(product_id))
        return Response(None)


class CheckView(ApiView):
    """Which of these products the person keeps; the keys are the ids as text."""

    @extend_schema(
        request=serializers.CheckInput,
        responses={200: {"type": "object", "additionalProperties": {"type": "boolean"}}},
    )
    def post(self, request):
        ids = self.body(serializers.CheckInput)["product_ids"]
        wanted = [pk for pk in ids.values() if pk is not None]
        mine = Favorite.objects.filter(person=request.user, product__in=wanted)
        kept = set(mine.values_list("product_id", flat=True))
        return Response({key: pk in kept for key, pk in ids.items()})
