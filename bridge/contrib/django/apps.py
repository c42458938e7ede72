"""``BridgeConfig``: reads ``BRIDGE`` of settings.py, and makes this process' emitter without connecting to anything.

Where nothing else says how a gateway knows its users, it believes the sessions of Django's login.
"""

from collections.abc import Mapping
from os import PathLike, fspath
from types import ModuleType
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import Tags, register
from django.db import connections

from bridge.contrib.django.checks import check_bridge, check_outbox, check_transactions
from bridge.contrib.django.signing_out import end_streams_at_sign_out
from bridge.gateway.asking import at_thread_end
from bridge.model.errors import SettingsError
from bridge.producer.default import process_emitter
from bridge.settings import GatewaySettings, put_beneath, read_settings

SESSIONS = f"{__package__}.sessions:authenticator"


class BridgeConfig(AppConfig):
    """Its label, ``bridge``, is the first word of the ids of its checks."""

    name = f"{__package__}"
    label = "bridge"
    verbose_name = "Server-Sent Events"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        # Here, and not when all applications are ready: another one may emit when it is.
        put_beneath(settings_file())
        said = read_settings(for_="gateway").settings
        self._asks_django = bool(said.gateway_authenticator)  # or a class of the project's own, as one of ours may be
        if not (said.gateway_authenticator or said.gateway_dev or _believes_tokens(said)):
            put_beneath({**settings_file(), "GATEWAY_AUTHENTICATOR": SESSIONS})
            self._asks_django = True

    def ready(self) -> None:
        """An operator's mistake stops no process: it is logged, and told by ``manage.py check``."""
        register(check_bridge)
        register(check_outbox, Tags.database)
        register(check_transactions)
        if self._asks_django:
            end_streams_at_sign_out()
        at_thread_end(connections.close_all)  # what a topic's rule opened, no request gives back
        process_emitter()


def require_app(needed_for: str) -> None:
    """Say what is missing, before the built-in catalog is taken for the project's.

    Raises:
        SettingsError: the application is not installed.
    """
    apps.check_apps_ready()
    if not isinstance(apps.app_configs.get("bridge"), BridgeConfig):
        raise SettingsError(f'{needed_for} needs "{BridgeConfig.name}" in INSTALLED_APPS of settings.py.')


def _believes_tokens(said: GatewaySettings) -> bool:
    return bool(said.jwt_secret or said.jwt_jwks_url or said.jwt_issuers)


def settings_file() -> Mapping[str, Any]:
    """What ``BRIDGE`` of settings.py says; of something that is no dict, what no process takes for settings."""
    given = getattr(settings, "BRIDGE", {})
    if not isinstance(given, Mapping):
        return {"": given}
    return {str(name): fspath(value) if isinstance(value, PathLike) else value for name, value in given.items()}
