from django.urls import path

from catalog import views

urlpatterns = [
    path("shops", views.ShopsView.as_view()),
    path("exchange/categories", views.CategoriesView.as_view()),
    path("exchange/products", views.ProductsView.as_view()),
    path("exchange/products/<str:product_id>", views.ProductView.as_view()),
    path("exchange/submit", views.ExchangeView.as_view()),
    path("exchange/orders", views.OrdersView.as_view()),
    path("exchange/orders/<str:exchange_id>", views.OrderView.as_view()),
    path("exchange/orders/<str:exchange_id>/cancel", views.CancelView.as_view()),
    path("merchant/redeem", views.RedeemView.as_view()),
    path("merchant/shops/<str:shop_id>/members", views.MembersView.as_view()),
    path("user/invitations", views.InvitationsView.as_view()),
    path("user/invitations/<str:invitation_id>", views.InvitationView.as_view()),
]
