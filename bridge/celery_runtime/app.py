"""The Celery app, derived from the registry and the settings: its tasks, its queues, and what it tells monitors."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from celery import Celery
from celery.app.amqp import AMQP, Queues
from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher

from bridge.amqp_adapter.kombu_options import queue, queues, routes
from bridge.amqp_adapter.task_queue import AlarmWatch
from bridge.celery_runtime.boot_steps import BoundStep, HeartbeatStep, RetryMoverStep, SeldomCollectionStep
from bridge.celery_runtime.config import celery_config, consuming_transport
from bridge.celery_runtime.task import BridgeTask
from bridge.model.bounds import MessageBounds
from bridge.model.errors import BLOCKED, BrokerError, StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.ports import WorkerPorts
from bridge.redis_adapter import QueueNames, connect_briefly, is_there
from bridge.runtime.command_names import command
from bridge.runtime.identity import release
from bridge.settings import WorkerSettings
from bridge.settings.topology import topology
from bridge.wiring import worker_ports
from bridge.worker.handler import Handler
from bridge.worker.quarantine import Quarantine

logger = plain_logger(__name__)


class ClaimingCelery(Celery):
    """Consumes through our transport; whatever else connects gets the URL's own, whose name tools like Flower know.

    The broker is that of the bridge's settings, also where ``CELERY_BROKER_URL`` names a team's.
    """

    consuming_transport: str | None = None
    broker_url: str | None = None

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """A connection to consume from; see Celery."""
        return super().connection_for_read(url or self.broker_url, **{"transport": self.consuming_transport, **options})

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """A connection to send with; see Celery."""
        return super().connection_for_write(url or self.broker_url, **options)


def create_app(settings: WorkerSettings, registry: Registry) -> Celery:
    """A Celery app that does nothing but the bridge's work. Connects to nothing before its worker starts.

    Args:
        settings: where broker and store are, bounds and times.
        registry: its mappings are the tasks, its categories the queues.
    """
    app = bare_app(settings, registry, events=Events)
    app.steps["worker"].update({SeldomCollectionStep, *worker_steps(settings, registry)})
    return app


def bare_app(
    settings: WorkerSettings, registry: Registry, task: type[BridgeTask] = BridgeTask, **options: Any
) -> ClaimingCelery:
    """The bridge's configuration, queues, routes and tasks of that class, without what its worker does besides."""
    app = ClaimingCelery("bridge", set_as_current=False, amqp=worker_amqp(settings), **options)
    app.consuming_transport = consuming_transport(settings)
    app.conf.update(celery_config(settings))
    app.broker_url = app.conf["broker_url"]
    app.conf.task_queues = queues(settings, registry)
    app.conf.task_default_queue = registry.queues[0]
    app.conf.task_routes = [routes(registry)]
    ports = worker_ports(settings, registry, insists=task.store_insists)
    app.bridge_quarantine = Quarantine(ports.dead_letters, ports.clock, release(settings), master=ports.master)
    app.bridge_delivery_max = settings.delivery_max
    app.bridge_message_bounds = _bounds(settings)
    _add_tasks(app, registry, settings, ports, task)
    return app


def _add_tasks(
    app: Celery, registry: Registry, settings: WorkerSettings, ports: WorkerPorts, base: type[BridgeTask]
) -> None:
    handler = Handler(settings, registry, ports)
    for mapping in registry.mappings:
        app.task(
            name=registry.task_of(mapping),
            base=base,
            bind=True,
            # Celery would add a shared task to every other app of the process, where another registry may rule.
            shared=False,
            typing=False,
            mapping=mapping,
            handler=handler,
            master=ports.master,
            delivery_max=settings.delivery_max,
            bounds=_bounds(settings),
            time_limit=settings.task_time_limit_s,
            soft_time_limit=settings.task_soft_time_limit_s,
            __doc__=f"Publish {mapping.domain_event_class.__name__} as {mapping.sse_event_type.value}.",
        )(BridgeTask.handle)


def worker_steps(settings: WorkerSettings, registry: Registry, **more: Any) -> list[type[BoundStep]]:
    """What a worker does besides handling messages. Celery takes step classes: the settings are bound in subclasses."""
    # A dictionary each: Celery writes the step's name into it.
    bound = {"settings": settings, "registry": registry, **more}
    return [type(f"Bound{kind.__name__}", (kind,), dict(bound)) for kind in (RetryMoverStep, HeartbeatStep)]


def _bounds(settings: WorkerSettings) -> MessageBounds:
    return MessageBounds.of(message_max_bytes=settings.message_max_bytes, emit_batch_max=settings.emit_batch_max)


class WorkerQueues(Queues):
    """Celery's queues, to which ``-Q`` may add one that the registry has no more.

    Any other name is refused, as a worker that consumes a mistyped queue would look healthy and do nothing.
    """

    settings: ClassVar[WorkerSettings]

    def select(self, include: Any) -> None:
        """Consume these only.

        Raises:
            SystemExit: a name is neither the registry's, nor that of a queue which there was.
        """
        names: Sequence[str] = [include] if isinstance(include, str) else list(include or ())
        for name in names:
            if name not in self:
                self._expect(name)
                self.add(queue(self.settings, name))
        super().select(include)

    def _expect(self, name: str) -> None:
        try:
            known = name.startswith(QUEUE_PREFIX) and _there_was(self.settings, name)
        except (StoreError, BrokerError) as error:
            logger.warning(
                "bridge.queue.unknown: %s is consumed as told, though it could not be looked up: %s", name, error
            )
            return
        if not known:
            near = get_close_matches(name, list(self), n=1)
            hint = f"Did you mean {near[0]}?" if near else f"See {command('queues')}."
            raise SystemExit(
                f"There is no queue {name!r}: the registry has {', '.join(self)}, and none of that name ever held an "
                f"event. {hint}"
            )
        logger.warning("bridge.queue.unregistered: %s is not in the registry; this worker empties it.", name)


def worker_amqp(settings: WorkerSettings) -> type[AMQP]:
    """The AMQP class of the bridge's own app; Celery takes classes, so the settings are bound in a subclass."""
    bound = type("BoundWorkerQueues", (WorkerQueues,), {"settings": settings})
    return type("WorkerAMQP", (AMQP,), {"queues_cls": bound})


def _there_was(settings: WorkerSettings, name: str) -> bool:
    with connect_briefly(settings) as client:
        if name in QueueNames(client).all():
            return True
    return topology(settings).on_redis and is_there(settings, name)


class Dispatcher(EventDispatcher):
    """Leaves events out while the broker blocks their connection: the worker's main loop sends them, and would wait."""

    left_out: int = 0

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no messages, as far as is known."""
        return self._alarm.blocked

    @property
    def _alarm(self) -> AlarmWatch:
        # Celery's constructor sends already.
        if not hasattr(self, "_watch"):
            self._watch = AlarmWatch()
        return self._watch

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:
        if self._is_blocked():
            if not self.left_out:
                logger.warning("bridge.monitoring.paused: %s", BLOCKED)
            self.left_out += len(event) if isinstance(event, list) else 1
            return
        if self.left_out:
            logger.warning("bridge.monitoring.resumed left_out=%d: the broker takes messages again.", self.left_out)
            self.left_out = 0
        super()._publish(event, producer, routing_key, **options)

    def _is_blocked(self) -> bool:
        if self.connection is None:
            return False
        try:
            self._alarm.watch(self.connection)
            return self._alarm.still_blocked()
        except self.connection.connection_errors:
            return False  # sending shows it, and Celery keeps the event for the next connection


class Events(CeleryEvents):
    """What a Celery app sends events by."""

    dispatcher_cls = Dispatcher
