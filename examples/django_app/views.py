"""The shop's pages: one that listens, and two ways of paying, of which one fails at the last moment."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from bridge.contrib.django import emit_on_commit  # bridge
from examples.django_app.events import OrderPaid  # bridge


@login_required
def page(request: Any) -> Any:
    return render(request, "page.html")


@login_required
@require_POST
@transaction.atomic
def pay(request: Any, number: str) -> Any:
    emit_on_commit(OrderPaid(user_id=request.user.pk, number=number))  # bridge
    return HttpResponse(status=204)


@login_required
@require_POST
def pay_in_vain(request: Any, number: str) -> Any:
    with transaction.atomic():
        pay(request, number)
        transaction.set_rollback(True)  # the bank says no
    return HttpResponse(status=409)
