from django.urls import path

from lottery import views

urlpatterns = [
    path("lottery/config", views.ConfigView.as_view()),
    path("lottery/draw", views.DrawView.as_view()),
    path("lottery/records", views.RecordsView.as_view()),
    path("lottery/seed", views.SeedView.as_view()),
    path("lottery/draws/<str:draw_id>/proof", views.ProofView.as_view()),
    path("lottery/rules", views.RulesView.as_view()),
]
