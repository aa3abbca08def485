from django.urls import path

from accounts import views

urlpatterns = [
    path("auth/code", views.CodeView.as_view()),
    path("auth/login", views.LoginView.as_view()),
    path("auth/wechat", views.WeChatView.as_view()),
    path("auth/refresh", views.RefreshView.as_view()),
    path("auth/verify", views.VerifyView.as_view()),
    path("auth/logout", views.LogoutView.as_view()),
    path("user/profile", views.ProfileView.as_view()),
    path("user/avatar", views.AvatarView.as_view()),
    path("user/statistics", views.StatisticsView.as_view()),
    path("user/sessions", views.DevicesView.as_view()),
    path("user/sessions/<str:session_id>", views.DeviceView.as_view()),
    path("user/points", views.PointsView.as_view()),
]
