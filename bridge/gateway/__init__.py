"""The entry point for browsers: ``GET /api/v1/events``, served by ``uvicorn bridge.gateway:app``."""

from typing import TYPE_CHECKING

from bridge.model.errors import SERVING_VERSIONS, UnauthorizedError, require_extra, require_versions
from bridge.model.registry import Registry
from bridge.on_demand import on_demand
from bridge.settings import GatewaySettings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from bridge.gateway.authenticator import Authenticator, AuthRequest, Principal
    from bridge.gateway.configured_app import app
    from bridge.gateway.refusal import RequestRefusedError
    from bridge.gateway.tickets import issue_ticket, issue_ticket_async

__all__ = [
    "AuthRequest",
    "Authenticator",
    "Principal",
    "RequestRefusedError",
    "UnauthorizedError",
    "app",
    "create_app",
    "issue_ticket",
    "issue_ticket_async",
]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.gateway.configured_app": "app",
        "bridge.gateway.authenticator": "Authenticator AuthRequest Principal",
        "bridge.gateway.refusal": "RequestRefusedError",
        "bridge.gateway.tickets": "issue_ticket issue_ticket_async",
    },
)


def create_app(
    settings: GatewaySettings, registry: Registry, *, authenticator: "Authenticator | None" = None
) -> "Starlette":
    """The gateway as an ASGI application. Connects to Redis when its lifespan starts.

    Args:
        settings: where Redis is, how clients are held; its host and port are read by whoever runs the application.
        registry: says which types and topics there are, and what users are called.
        authenticator: the application's own; default: what the settings ask for.

    Raises:
        MissingExtraError: Starlette or PyJWT is not installed, or another redis-py than the gateway needs.
        SettingsError: no client could connect, ``authenticator`` is not one, or a setting of the gateway is wrong.
    """
    require_extra("gateway", "The gateway", "starlette", "jwt")
    require_versions("gateway", "The gateway", SERVING_VERSIONS)
    from bridge.gateway.asgi import build_app

    return build_app(settings, registry, authenticator)
