"""What ``manage.py check`` says of the bridge: settings, catalog, the ids of users, and with --database the outbox."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, router
from django.db.models import Field, IntegerField, UUIDField

from bridge.catalogs import load_registry
from bridge.contrib.django.database import WRITES_AFTER_READING, begin_immediately, explained_of, may_not_write
from bridge.model.errors import RegistryError
from bridge.model.registry import Registry
from bridge.producer.outbox import DIALECTS, TABLE
from bridge.producer.outbox.table import COLUMNS
from bridge.settings import Settings, overruled, read_settings

IN_SETTINGS_FILE = "BRIDGE_X is the environment's name; in settings.py it is BRIDGE['X']."


def check_bridge(**_: Any) -> list[checks.CheckMessage]:
    """Every fault at once, a sentence each. Connects to nothing."""
    given = getattr(settings, "BRIDGE", {})
    if not isinstance(given, Mapping):
        text = f"BRIDGE must be a dict of settings, and is a {type(given).__name__}."
        hint = 'For example: BRIDGE = {"REDIS_URL": "redis://127.0.0.1:6379/0"}'
        return [checks.Error(text, hint=hint, id="bridge.E001")]
    reading = read_settings()
    found = [checks.Error(fault, hint=IN_SETTINGS_FILE, id="bridge.E001") for fault in reading.faults]
    found += [checks.Warning(remark, id="bridge.W001") for remark in reading.remarks]
    found += [
        checks.Warning(
            f"{name} of the environment wins over BRIDGE in settings.py, and they differ.",
            hint="Drop the one that is not meant.",
            id="bridge.W002",
        )
        for name in overruled()
    ]
    if reading.settings.outbox_url:
        text = "BRIDGE_OUTBOX_URL is not for Django, whose outbox is in one of DATABASES."
        found.append(checks.Error(text, hint="Drop it, and pass emit_on_commit(…, using=…).", id="bridge.E004"))
    try:
        registry = load_registry(reading.settings.registry)
    except RegistryError as error:
        hint = "BRIDGE['REGISTRY'] names the catalog, as package.module:attribute."
        return found + [checks.Error(text, hint=hint, id="bridge.E002") for text in error.faults or (str(error),)]
    return [*found, *_check_user_id(registry, reading.settings)]


def _check_user_id(registry: Registry, values: Settings) -> Iterator[checks.CheckMessage]:
    """Whether events can name the users of this project; any key can be written as text."""
    try:
        model = get_user_model()
    except Exception:  # none is installed, which is Django's to tell
        return
    kind = _kind_of(model._meta.pk)
    if registry.users.kind in (kind, str):
        return
    theirs = f"the primary key of {model._meta.label} is {_WORDS[kind]}"
    text = f"A user of the catalog is {registry.users.form}, and {theirs}."
    if values.registry:
        yield checks.Error(text, hint=f"Give the Registry, or catalog_of, user_id={kind.__name__}.", id="bridge.E003")
    else:
        hint = "The built-in catalog is used: name your own in BRIDGE['REGISTRY']."
        yield checks.Warning(text, hint=hint, id="bridge.W003")


_WORDS = {int: "a whole number", UUID: "a UUID", str: "a text"}


def _kind_of(key: Field) -> type:
    while key.remote_field:  # of a model that inherits from another
        key = key.target_field
    if isinstance(key, UUIDField):
        return UUID
    return int if isinstance(key, IntegerField) else str


def check_outbox(*, databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Whether ``emit_on_commit`` can write to each of these databases in which the routers let the table be."""
    from bridge.contrib.django.models import OutboxEvent  # when all models are loaded

    allowed = [alias for alias in databases or () if router.allow_migrate_model(alias, OutboxEvent)]
    return [message for alias in allowed for message in _check_table(alias)]


def check_transactions(**_: Any) -> list[checks.CheckMessage]:
    """Whether transactions that read and then emit fail on SQLite. Connects to nothing."""
    from bridge.contrib.django.models import OutboxEvent  # when all models are loaded

    allowed = [alias for alias in connections if router.allow_migrate_model(alias, OutboxEvent)]
    return [
        checks.Warning(
            f"Transactions with emit_on_commit may fail on {alias!r}: database is locked. {WRITES_AFTER_READING}",
            hint=begin_immediately(alias),
            id="bridge.W005",
        )
        for alias in allowed
        if _may_not_write(alias)
    ]


def _may_not_write(alias: str) -> bool:
    try:
        return may_not_write(connections[alias])
    except ImproperlyConfigured:  # which is Django's to tell
        return False


def _check_table(alias: str) -> Iterator[checks.CheckMessage]:
    connection = connections[alias]
    if connection.vendor not in DIALECTS:
        text = f"The database {alias!r} can have no outbox, which is for {', '.join(DIALECTS)}."
        yield checks.Warning(text, hint="Use emit_on_commit with another.", id="bridge.W004")
        return
    try:
        if TABLE not in connection.introspection.table_names():
            if sys.argv[1:2] != ["migrate"]:  # which is just about to make it
                text = f"The database {alias!r} has no table {TABLE}, so that emit_on_commit fails there."
                yield checks.Warning(text, hint=f"manage.py migrate bridge --database={alias}", id="bridge.W004")
            return
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM {TABLE} WHERE 1 = 0")  # noqa: S608
    except Error as error:
        yield checks.Error(explained_of(error, connection, f"The database {alias!r}"), id="bridge.E005")
