"""The door for browsers: ``GET /api/v1/events``, served by ``uvicorn bridge.gateway:app``."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from bridge.catalogs import load_configured
from bridge.model.errors import BridgeError, MissingExtraError
from bridge.model.registry import Registry
from bridge.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    app: Starlette

__all__ = ["app", "create_app"]

_NEEDS = ("starlette", "jwt")


def create_app(settings: Settings, registry: Registry) -> "Starlette":
    """The gateway as an ASGI application. Connects to Redis when its lifespan starts.

    Raises:
        MissingExtraError: Starlette or PyJWT is not installed.
        SettingsError: nobody could connect, or a ``gateway_*`` or ``jwt_*`` setting is wrong.
    """
    if not all(find_spec(name) for name in _NEEDS):
        raise MissingExtraError("gateway", "The gateway")
    from bridge.gateway.asgi import build_app

    return build_app(settings, registry)


def __getattr__(name: str) -> "Starlette":
    # Made when a server asks for it, so that importing reads no environment (PEP 562).
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = create_app(*load_configured("gateway"))
    except BridgeError as error:
        # An operator's mistake is told in sentences, without a traceback.
        raise SystemExit(str(error)) from None
    globals()["app"] = made
    return made
