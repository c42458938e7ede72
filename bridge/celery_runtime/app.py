"""The Celery app: tasks, queues and routes from the registry, and from nothing else."""

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from bridge.amqp_adapter.kombu_options import queues, routes
from bridge.celery_runtime.boot_steps import HeartbeatStep, RetryMoverStep, SeldomCollectionStep
from bridge.celery_runtime.config import celery_config, consuming_transport
from bridge.celery_runtime.monitoring_events import Events
from bridge.celery_runtime.task import BridgeTask
from bridge.celery_runtime.worker_queues import worker_amqp
from bridge.model.bounds import MessageBounds
from bridge.model.registry import Registry
from bridge.redis_adapter import DeadLetters, StoreClock, connect
from bridge.runtime.identity import release
from bridge.settings import WorkerSettings
from bridge.wiring import worker_ports
from bridge.worker.handler import Handler
from bridge.worker.quarantine import Quarantine


class ClaimingCelery(Celery):
    """Consumes through our transport; whatever else connects gets the URL's own, whose name tools like Flower know."""

    consuming_transport: str | None = None

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """A connection to consume from; see Celery."""
        return super().connection_for_read(url, **{"transport": self.consuming_transport, **options})


def create_app(settings: WorkerSettings, registry: Registry) -> Celery:
    """A Celery app that does nothing but the bridge's work."""
    app = ClaimingCelery("bridge", set_as_current=False, events=Events, amqp=worker_amqp(settings))
    app.consuming_transport = consuming_transport(settings)
    app.conf.update(celery_config(settings))
    app.conf.task_queues = queues(settings, registry)
    app.conf.task_default_queue = registry.queues[0]
    app.conf.task_routes = [routes(registry)]
    client = connect(settings)
    app.bridge_quarantine = Quarantine(DeadLetters(client, settings), StoreClock(client), release(settings))
    app.bridge_delivery_max = settings.delivery_max
    app.bridge_message_bounds = _bounds(settings)
    app.steps["worker"].add(SeldomCollectionStep)
    _add(app, registry, settings)
    return app


def register_tasks(app: Celery, registry: Registry, settings: WorkerSettings) -> None:
    """Add the bridge's tasks, queues and routes to a Celery app that a team already runs, and that does not run yet.

    The tasks keep their own rules (late acknowledgement, no results) whatever the app's are. The app's
    queues and routes stay. Retries are moved by every worker of the app: they go back to their queue on the settings'
    broker, which must be the app's.
    """
    _keep_queues(app, settings, registry)
    app.conf.task_routes = [routes(registry), *_as_list(app.conf.task_routes)]
    _add(app, registry, settings)


def _add(app: Celery, registry: Registry, settings: WorkerSettings) -> None:
    handler = Handler(settings, registry, worker_ports(settings, registry))
    for mapping in registry.mappings:
        app.task(
            name=registry.task_of(mapping),
            base=BridgeTask,
            bind=True,
            # Celery would add a shared task to every other app of the process, where another registry may rule.
            shared=False,
            typing=False,
            mapping=mapping,
            handler=handler,
            delivery_max=settings.delivery_max,
            bounds=_bounds(settings),
            time_limit=settings.task_time_limit_s,
            soft_time_limit=settings.task_soft_time_limit_s,
            __doc__=f"Publish {mapping.domain_event_class.__name__} as {mapping.sse_event_type.value}.",
        )(BridgeTask.handle)
    # Celery takes step classes, not instances: the settings are bound in subclasses.
    for kind in (RetryMoverStep, HeartbeatStep):
        # A dictionary each: Celery writes the step's name into it.
        bound = {"settings": settings, "registry": registry}
        app.steps["worker"].add(type(f"Bound{kind.__name__}", (kind,), bound))


def _bounds(settings: WorkerSettings) -> MessageBounds:
    return MessageBounds.of(message_max_bytes=settings.message_max_bytes, emit_batch_max=settings.emit_batch_max)


def _keep_queues(app: Celery, settings: WorkerSettings, registry: Registry) -> None:
    """Add our queues to the app's; its default queue exists only implicitly until we name others."""
    existing = _as_list(app.conf.task_queues)
    if not existing:
        name = app.conf.task_default_queue
        exchange = app.conf.task_default_exchange or name
        existing = [
            Queue(
                name,
                Exchange(exchange, type=app.conf.task_default_exchange_type),
                routing_key=app.conf.task_default_routing_key or name,
            )
        ]
    app.conf.task_queues = [*existing, *queues(settings, registry)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
