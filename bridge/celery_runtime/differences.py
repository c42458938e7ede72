"""How a team's Celery app differs from what the bridge consumes by, in sentences; none of it harms the bridge."""

from collections.abc import Iterator
from typing import Any

from celery import Celery
from kombu import Connection

from bridge.amqp_adapter.kombu_options import kombu_url
from bridge.settings import WorkerSettings
from bridge.settings.topology import topology

STOCK_VISIBILITY_S = 3600
"""kombu's own, where an app says nothing."""


def differences(app: Celery, settings: WorkerSettings) -> Iterator[str]:
    """Settings of the app that the bridge's messages do not go by, and what they go by."""
    theirs, ours = app.connection_for_read(), Connection(kombu_url(settings))
    if _place(theirs) != _place(ours):
        yield (
            f"broker: the app's tasks come from {theirs.as_uri()}, and the bridge's events from {ours.as_uri()} "
            "(BRIDGE_BROKER_URL); a worker consumes both."
        )
    accepted = {str(one) for one in app.conf.accept_content or ()}
    if not accepted & {"json", "application/json"}:
        yield (
            f"accept_content: the app takes {', '.join(sorted(accepted))}; the bridge's messages are JSON, "
            "and are read all the same, by its own consumer."
        )
    if topology(settings).on_redis and theirs.transport.driver_type == "redis":
        told_s = dict(app.conf.broker_transport_options or {}).get("visibility_timeout", STOCK_VISIBILITY_S)
        if told_s != settings.visibility_timeout_s:
            yield (
                f"visibility_timeout: {told_s} s is for the app's tasks; what a dead worker had of the bridge's comes "
                f"back after {settings.visibility_timeout_s} s (BRIDGE_VISIBILITY_TIMEOUT_S)."
            )
    if not app.conf.result_backend:
        yield "result_backend: the app has none, and the bridge needs none."


def _place(connection: Any) -> tuple[object, ...]:
    """Where a connection leads, by kombu's reading of its URL."""
    said = connection.info()
    kind = connection.transport.driver_type
    host = str(said["hostname"]).replace("localhost", "127.0.0.1")
    return kind, host, said["port"], str(said["virtual_host"] or "").strip("/") or "0"
