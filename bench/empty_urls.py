"""The platform's addresses, and one more that answers nothing to whoever is signed in."""

from django.urls import path
from rest_framework.response import Response

from config.urls import urlpatterns as all_of_them
from ops.api.views import ApiView


class EmptyView(ApiView):
    """Sign-in and the count of requests, as for every view, and nothing else."""

    def get(self, request):
        return Response({})


urlpatterns = [path("api/empty", EmptyView.as_view()), *all_of_them]
