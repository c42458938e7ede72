"""What operators open: their page; Prometheus' ``/metrics``; ``/health/live`` and ``/health/ready`` of the whole."""

from typing import TYPE_CHECKING

from bridge.model.errors import SERVING_VERSIONS, require_extra, require_versions
from bridge.model.registry import Registry
from bridge.on_demand import on_demand
from bridge.settings import OpsSettings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from bridge.ops.configured_app import app

__all__ = ["app", "create_ops_app"]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.ops.configured_app": "app",
    },
)


def create_ops_app(settings: OpsSettings, registry: Registry) -> "Starlette":
    """The operators' ASGI application. Connects to Redis when it is asked something.

    Args:
        settings: where Redis and the broker are, and the tokens; its host and port are read by whoever runs it.
        registry: says which types, queues and topics there are.

    Raises:
        MissingExtraError: Starlette, Jinja or prometheus-client is not installed, or another redis-py than it needs.
    """
    require_extra("ops", "The operators' application", "starlette", "prometheus_client", "jinja2")
    require_versions("ops", "The operators' application", SERVING_VERSIONS)
    from bridge.ops.asgi import build_app

    return build_app(settings, registry)
