"""What a worker will meet: its connection to a Redis broker, with a queue, news and a claim; and a team's own app."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from celery.app.utils import find_app
from kombu import Queue

from bridge.amqp_adapter.kombu_options import CONNECT_TIMEOUT_S
from bridge.celery_runtime.differences import differences
from bridge.celery_runtime.installed import Bridge, no_fresh_interpreters
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.registry import Registry
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


def inspect_app(path: str, settings: WorkerSettings, registry: Registry) -> Iterator[tuple[bool, str]]:
    """What stands against the bridge in the app that ``celery -A path`` finds (True), or only differs, in sentences."""
    try:
        app: Any = find_app(path)
    except (Exception, SystemExit) as error:  # foreign code runs on import and may raise anything
        failure = describe(error, Stage.WORKER)
        yield True, f"celery -A {path} finds no app: {failure.error_class}: {failure.message}"
        return
    told = getattr(app, "bridge_installation", None)
    if told is None:
        yield True, f"The app of {path} has no bridge: call bridge.worker.install(app) where it is made."
        return
    try:
        queues = Bridge(app, told.settings or settings, told.registry or registry).consumed
        if app.conf.worker_pool in ("prefork", "processes"):
            no_fresh_interpreters(app.conf.worker_pool_start_method)
    except SystemExit as error:
        yield True, str(error)
        return
    yield (
        False,
        f"a worker of {path} consumes {', '.join(queues) or 'what -Q names of the bridge'} beside the app's queues.",
    )
    for sentence in differences(app, told.settings or settings):
        yield False, sentence
