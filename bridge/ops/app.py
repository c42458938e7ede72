"""The operators' ASGI application: which routes there are."""

from starlette.applications import Starlette

from bridge.ops.health import health_routes
from bridge.ops.metrics import metrics_route
from bridge.registry import Registry
from bridge.settings import Settings


def build_app(settings: Settings, registry: Registry) -> Starlette:
    """See ``bridge.ops.create_ops_app``."""
    return Starlette(routes=[metrics_route(settings, registry), *health_routes(settings, registry)])
