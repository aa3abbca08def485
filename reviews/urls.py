from django.urls import path

from reviews import views

urlpatterns = [
    path("photo/upload", views.UploadView.as_view()),
    path("photo/history", views.HistoryView.as_view()),
    path("photo/uploads/<str:upload_id>", views.UploadDetailView.as_view()),
    path("merchant/reviews", views.ReviewsView.as_view()),
    path("merchant/review", views.ReviewView.as_view()),
    path("merchant/reviews/batch", views.BatchView.as_view()),
]
