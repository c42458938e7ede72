"""Django in the process of the tests, with the bridge among its applications, and databases of any kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import django
import pymysql
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from sqlalchemy.engine.url import make_url

from bridge.contrib.django.apps import BridgeConfig
from tests.support.databases import Database

ENGINES = {"postgresql": "postgresql", "mariadb": "mysql", "sqlite": "sqlite3"}


class QuietConfig(BridgeConfig):
    """Without an emitter of the process, which would be other tests'."""

    def ready(self) -> None:
        pass


def set_up_django() -> None:
    """Idempotent; never undone."""
    if not settings.configured:
        pymysql.install_as_MySQLdb()
        settings.configure(INSTALLED_APPS=[f"{__name__}.QuietConfig"], DATABASES={}, USE_TZ=True)
        django.setup()


def settings_of(address: str) -> dict[str, Any]:
    """What stands in ``DATABASES`` for a database of SQLAlchemy's."""
    url = make_url(address)
    named = {"NAME": url.database, "USER": url.username or "", "HOST": url.host or "", "PORT": url.port or ""}
    return {"ENGINE": f"django.db.backends.{ENGINES[url.get_backend_name()]}", **named}


@contextmanager
def aliased(database: Database, *, migrated: bool = False, **changes: Any) -> Iterator[str]:
    """The database as one of Django's, under an alias of its own; on request with the outbox's table."""
    set_up_django()
    alias = uuid4().hex
    made = connections.configure_settings({"default": {}, alias: {**settings_of(database.url), **changes}})
    connections.settings[alias] = made[alias]
    try:
        if migrated:
            call_command("migrate", "bridge", database=alias, verbosity=0)
        yield alias
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]
