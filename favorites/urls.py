from django.urls import path

from favorites import views

urlpatterns = [
    path("favorites", views.FavoritesView.as_view()),
    path("favorites/check", views.CheckView.as_view()),
    path("favorites/<str:product_id>", views.FavoriteView.as_view()),
]
