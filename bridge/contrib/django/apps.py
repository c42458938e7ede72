"""``BridgeConfig``: reads ``BRIDGE`` of settings.py, and makes this process' emitter without connecting to anything."""

from collections.abc import Mapping
from os import PathLike, fspath
from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register

from bridge.contrib.django.checks import check_bridge, check_outbox
from bridge.producer.default import process_emitter
from bridge.settings import put_beneath


class BridgeConfig(AppConfig):
    """Its label, ``bridge``, is the first word of the ids of its checks."""

    name = f"{__package__}"
    label = "bridge"
    verbose_name = "Server-Sent Events"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        # Here, and not when all applications are ready: another one may emit when it is.
        put_beneath(settings_file())

    def ready(self) -> None:
        """An operator's mistake stops no process: it is logged, and told by ``manage.py check``."""
        register(check_bridge)
        register(check_outbox, Tags.database)
        process_emitter()


def settings_file() -> Mapping[str, Any]:
    """What ``BRIDGE`` of settings.py says; of something that is no dict, what no process takes for settings."""
    given = getattr(settings, "BRIDGE", {})
    if not isinstance(given, Mapping):
        return {"": given}
    return {str(name): fspath(value) if isinstance(value, PathLike) else value for name, value in given.items()}
