"""Celery's connection to a Redis broker, as a worker makes it: a queue, its bindings, the news, a claim."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from kombu import Queue

from bridge.amqp_adapter.kombu_options import CONNECT_TIMEOUT_S
from bridge.redis_adapter.kombu_support import why_not_told
from bridge.settings import WorkerSettings, unjudged

ABANDONED_S = 3600.0
"""Nothing on scratch keys is as old."""


def try_transport(settings: WorkerSettings, create_app: Callable[[WorkerSettings], Any]) -> list[str]:
    """Connect to a Redis broker, declare a queue, listen for its changes, look for abandoned messages; on scratch keys.

    Returns:
        What works in another way than it should, one sentence each.

    Raises:
        Exception: whatever kombu raises.
    """
    prefix = f"{settings.queue_prefix}bridge.check-{uuid4().hex[:12]}."
    app = create_app(unjudged(WorkerSettings, settings, broker_keyprefix=prefix))
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=float(CONNECT_TIMEOUT_S))
        channel = connection.channel()
        try:
            scratch = Queue("check", routing_key="check")(channel)
            scratch.declare()
            remarks = _hear_of_changes(channel, prefix)
            channel.restore_abandoned(ABANDONED_S)
            scratch.delete()
        finally:
            for name in ("_kombu.binding.", "_kombu.binding_permanent.", "_kombu.binding_deadlines", "check"):
                channel.client.delete(name)
            channel.close()
    return remarks


def _hear_of_changes(channel: Any, prefix: str) -> list[str]:
    connection = channel.wake_client.connection_pool.get_connection()
    try:
        why = why_not_told(connection, f"{prefix}check")
    finally:
        connection.disconnect()
    return [f"broker: the server cannot tell when a queue changes ({why}), so workers poll it."] if why else []
