"""As ``outbox_app``, of Django: each request commits an event, and the process that forks has committed one."""

import itertools
import os

import pymysql
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bridge.contrib.django import emit_on_commit
from tests.support.django_databases import settings_of
from tests.support.outbox import imported

pymysql.install_as_MySQLdb()
settings.configure(
    INSTALLED_APPS=["bridge.contrib.django"],
    DATABASES={"default": {**settings_of(os.environ["OUTBOX_DATABASE"]), "CONN_MAX_AGE": None}},
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a test",
    USE_TZ=True,
)
app = get_wsgi_application()
_count = itertools.count()


@transaction.atomic
def commit(request: HttpRequest | None = None) -> HttpResponse:
    assert emit_on_commit(imported(os.getpid() * 10_000 + next(_count)))
    return HttpResponse(str(os.getpid()))


urlpatterns = [path("", commit)]
commit()
connections.close_all()  # as Django's documentation asks of whoever forks
