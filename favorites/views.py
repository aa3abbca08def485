from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from catalog.outputs import product_items
from favorites import serializers, services
from favorites.models import Favorite
from ops.api.fields import path_identifier
from ops.api.pagination import page
from ops.api.views import ApiView


class FavoritesView(ApiView):
    """What the person keeps, newest first."""

    @extend_schema(responses=serializers.FavoriteOutput(many=True))
    def get(self, request):
        mine = Favorite.objects.filter(person=request.user).select_related("product__category")
        rows, following = page(request, mine)
        kept = serializers.KeptOutput(rows, many=True).data
        products = product_items(request, [favorite.product for favorite in rows])
        items = [
            {**product, "favorited_at": favorite["favorited_at"]}
            for product, favorite in zip(products, kept, strict=True)
        ]
        return Response({"items": items, "next": following})

    @extend_schema(request=serializers.FavoriteInput, responses=serializers.KeptOutput)
    def post(self, request):
        body = self.body(serializers.FavoriteInput)
        favorite = services.add(person=request.user, product_id=body["product_id"])
        return Response(serializers.KeptOutput(favorite).data)


class FavoriteView(ApiView):
    """One product that the person keeps."""

    @extend_schema(responses=OpenApiTypes.NONE)
    def delete(self, request, product_id):
        services.remove(person=request.user, product_id=path_identifier(product_id))
        return Response(None)


class CheckView(ApiView):
    """Which of up to 100 products the person keeps; the keys are the ids as text."""

    @extend_schema(
        request=serializers.CheckInput,
        responses={200: {"type": "object", "additionalProperties": {"type": "boolean"}}},
    )
    def post(self, request):
        ids = self.body(serializers.CheckInput)["product_ids"]
        kept = services.kept_among(request.user, [pk for pk in ids.values() if pk])
        return Response({key: pk in kept for key, pk in ids.items()})
