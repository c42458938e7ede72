"""What operators open: their page; Prometheus' ``/metrics``; ``/health/live`` and ``/health/ready`` of the whole."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from bridge.catalogs import load_configured
from bridge.model.errors import BridgeError, MissingExtraError
from bridge.model.registry import Registry
from bridge.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    app: Starlette

__all__ = ["app", "create_ops_app"]

_NEEDS = ("starlette", "prometheus_client", "jinja2")


def create_ops_app(settings: Settings, registry: Registry) -> "Starlette":
    """The operators' ASGI application. Connects to Redis when it is asked something.

    Raises:
        MissingExtraError: Starlette, Jinja or prometheus-client is not installed.
    """
    if not all(find_spec(name) for name in _NEEDS):
        raise MissingExtraError("ops", "The operators' application")
    from bridge.ops.app import build_app

    return build_app(settings, registry)


def __getattr__(name: str) -> "Starlette":
    # Made when a server asks for it, so that importing reads no environment (PEP 562).
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = create_ops_app(*load_configured("ops"))
    except BridgeError as error:
        # An operator's mistake is told in sentences, without a traceback.
        raise SystemExit(str(error)) from None
    globals()["app"] = made
    return made
