"""What ``manage.py check`` says of the bridge: its settings, its catalog, and whether that can name Django's users."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.db.models import Field, IntegerField, UUIDField

from bridge.catalogs import load_registry
from bridge.model.errors import RegistryError
from bridge.model.registry import Registry
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
    kind = _kind_of(model._meta.pk.target_field if model._meta.pk.remote_field else model._meta.pk)
    if registry.users.kind in (kind, str):
        return
    theirs = f"the primary key of {model._meta.label} is {_WORDS[kind]}"
    text = f"A user of the catalog is {registry.users.form}, and {theirs}."
    if values.registry:
        yield checks.Error(text, hint=f"Give the Registry user_id={kind.__name__}.", id="bridge.E003")
    else:
        hint = "The built-in catalog is used: name your own in BRIDGE['REGISTRY']."
        yield checks.Warning(text, hint=hint, id="bridge.W003")


_WORDS = {int: "a whole number", UUID: "a UUID", str: "a text"}


def _kind_of(key: Field) -> type:
    if isinstance(key, UUIDField):
        return UUID
    return int if isinstance(key, IntegerField) else str
