"""The URLs of the site."""

from django.urls import path

from tests.applications.site.shop import views

urlpatterns = [
    path("ready", views.ready),
    path("reverse/<str:text>", views.reverse),
    path("async/<str:text>", views.reverse_async),
    path("never", views.never),
]
