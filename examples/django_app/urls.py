"""The shop's addresses; the stream's is not among them."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from examples.django_app import views

urlpatterns = [
    path("", views.page),
    path("login/", LoginView.as_view(template_name="login.html")),
    path("logout/", LogoutView.as_view()),
    path("orders/<number>/pay", views.pay),
    path("orders/<number>/pay-in-vain", views.pay_in_vain),
]
