"""A view that emits."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bridge.contrib.django import emit_on_commit
from tests.support.producers import event


def pay(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(emit_on_commit(event(7))))


urlpatterns = [path("pay", pay)]
