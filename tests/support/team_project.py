"""A team's project in a folder: a catalog of its own, with a Django application beside it if asked for."""

from pathlib import Path

CATALOG = """
from dataclasses import dataclass
from enum import StrEnum
from bridge import DomainEvent, DomainToSSEMapping, Registry, SSEEventMetadata
{imports}

class Category(StrEnum):
    ORDERS = "orders"

class Type(StrEnum):
    PLACED = "order.placed"

@dataclass(frozen=True, kw_only=True)
class Placed(DomainEvent):
    number: int = 1

def payload(event):
    import beside_the_catalog
    return {{"number": event.number}}

registry = Registry(
    event_types=Type,
    categories=Category,
    events=[SSEEventMetadata(Type.PLACED, Category.ORDERS, "An order was placed", ("number",))],
    mappings=[DomainToSSEMapping(Placed, Type.PLACED, payload, lambda event: event.user_id)],
)
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["orders"]
DATABASES = {}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
MODELS = """
from django.db import models

class Order(models.Model):
    number = models.IntegerField()
"""
APPS = """
from uuid import UUID
from django.apps import AppConfig

class OrdersConfig(AppConfig):
    name = "orders"

    def ready(self):
        import bridge, os
        if os.environ.get("EMIT_WHEN_READY"):
            from team_catalog import Placed
            assert bridge.emit(Placed(user_id=UUID(int=1)))
"""


WITH_BRIDGE = """
INSTALLED_APPS = ["orders", "django.contrib.auth", "django.contrib.contenttypes", "bridge.contrib.django"]
BRIDGE = {{{bridge}}}
"""


def write_bridge_project(folder: Path, bridge: str = "") -> dict[str, str]:
    """One of Django that has the bridge among its applications, and these settings of it."""
    project = write_project(folder, django=True)
    with (folder / "team_settings.py").open("a") as settings:
        settings.write(WITH_BRIDGE.format(bridge=bridge))
    return {"DJANGO_SETTINGS_MODULE": project["DJANGO_SETTINGS_MODULE"]}


def write_project(folder: Path, *, django: bool = False) -> dict[str, str]:
    """Write it; the variables that name it."""
    imports = "from orders.models import Order" if django else ""
    (folder / "team_catalog.py").write_text(CATALOG.format(imports=imports))
    (folder / "beside_the_catalog.py").write_text("")
    if not django:
        return {"BRIDGE_REGISTRY": "team_catalog:registry"}
    (folder / "team_settings.py").write_text(SETTINGS)
    (folder / "orders").mkdir()
    for name, text in (("__init__", ""), ("models", MODELS), ("apps", APPS)):
        (folder / "orders" / f"{name}.py").write_text(text)
    return {"BRIDGE_REGISTRY": "team_catalog:registry", "DJANGO_SETTINGS_MODULE": "team_settings"}
