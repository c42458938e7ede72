"""The bridge in a worker of a team's app: its queues, tasks, consumer, mover and heartbeat, as boot steps of Celery."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from billiard import get_start_method
from celery import Celery, bootsteps
from celery.concurrency import prefork
from celery.utils.text import str_to_list

from bridge.catalogs import load_registry
from bridge.celery_runtime import prefork as mended
from bridge.celery_runtime.app import bare_app, worker_steps
from bridge.celery_runtime.differences import differences
from bridge.celery_runtime.install import Installation
from bridge.celery_runtime.installed_consumer import InstalledConsumer
from bridge.celery_runtime.installed_task import InstalledTask
from bridge.celery_runtime.task import BridgeTask
from bridge.model.errors import BridgeError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.redis_adapter.kombu_support import CLAIMED_BESIDE
from bridge.settings import WorkerSettings, load_settings

logger = plain_logger(__name__)

CLAIMS = {"unacked_key": CLAIMED_BESIDE, "unacked_index_key": f"{CLAIMED_BESIDE}_index"}
"""Where claims are kept on Redis, since kombu's own keys have the team's: who restores what is abandoned restores all
that is on its keys, and the two have different timeouts."""


class Bridge:
    """What a process with a worker has of the bridge, once.

    Attributes:
        app: the bridge's own, whose configuration holds for its messages. No worker runs it.
        consumed: names of the queues that the worker consumes.
    """

    def __init__(self, team: Celery, settings: WorkerSettings, registry: Registry) -> None:
        self.settings, self.registry = settings, registry
        self.app = bare_app(settings, registry, InstalledTask, fixups=())
        self.app.use_fast_trace_task = True
        self.app.conf.broker_transport_options = {**self.app.conf.broker_transport_options, **CLAIMS}
        self.consumed = self._defaults(team.bridge_installation)
        self._team = team
        self._theirs = _queues_of(team)
        self._refuse_shared_queues()
        self._add_tasks()

    def select(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Consume what ``-Q`` names of the bridge, if there is one, and not what ``-X`` does."""
        chosen = [name for name in include if self.is_ours(name)] if include else self.consumed
        self.consumed = [name for name in chosen if name not in exclude]

    def take_queues(self) -> None:
        """Take the bridge's queues from the app, where it has any: its own consumer must never fetch from them."""
        known = self._team.amqp.queues
        taken = [name for name in known.consume_from if name in self.registry.queues]
        if taken:
            logger.warning("bridge.installed.taken queues=%s: the bridge's own consumer has them.", ",".join(taken))
            known.deselect(taken)
        if self.consumed:
            self.app.amqp.queues.select(self.consumed)

    def is_ours(self, name: str) -> bool:
        """Whether ``-Q`` or ``-X`` means the bridge's: a queue of the registry, or one that it may have had once."""
        return name in self.registry.queues or (name.startswith(QUEUE_PREFIX) and name not in self._theirs)

    def _refuse_shared_queues(self) -> None:
        """Two consumers would take from one queue, each what only the other can run."""
        shared = sorted(self._theirs.intersection(self.registry.queues))
        if shared:
            raise SystemExit(
                f"The app's own configuration (task_default_queue, task_queues or task_routes) names "
                f"{', '.join(shared)}, which the bridge's registry has as well: give the app's queue another name."
            )

    def _defaults(self, installation: Installation) -> list[str]:
        wanted = self.registry.queues if installation.queues is None else installation.queues
        unknown = [name for name in wanted if name not in self.registry.queues]
        if unknown:
            has = ", ".join(self.registry.queues)
            raise SystemExit(f"install(app, queues=…) names {', '.join(unknown)}: the registry has {has}.")
        return list(wanted)

    def _add_tasks(self) -> None:
        """Put the tasks into the app's table, by which its pool finds what it runs."""
        ours = {name: task for name, task in self.app.tasks.items() if isinstance(task, BridgeTask)}
        for name in sorted(ours.keys() & self._team.tasks.keys()):
            raise SystemExit(f"The app has a task {name} of its own, which is the name of a task of the bridge.")
        self._team.tasks.update(ours)


def _queues_of(team: Celery) -> set[str]:
    """Names of the queues that the app's configuration names as its own, whatever they begin with."""
    named = {getattr(queue, "name", queue) for queue in team.conf.task_queues or ()}
    return {team.conf.task_default_queue, *named, *_routed(team.conf.task_routes)}


def _routed(routes: Any) -> Iterator[str]:
    """Names of queues in any form of ``task_routes`` but a function, which only a task's call would tell."""
    if isinstance(routes, Mapping):
        routes = tuple(routes.items())
    for route in routes if isinstance(routes, list | tuple) else ():
        if isinstance(route, list | tuple) and len(route) == 2 and isinstance(route[0], str | re.Pattern):
            where = route[1].get("queue") if isinstance(route[1], Mapping) else route[1]
            if name := getattr(where, "name", where):
                yield name
        elif isinstance(route, Mapping | list | tuple):
            yield from _routed(route)


def bridge_of(app: Celery) -> Bridge | None:
    """The bridge of an app in which it is installed; None where the worker was told to consume no queue of it.

    Raises:
        SystemExit: what ``install`` or the environment says is wrong; says how in sentences.
    """
    if not hasattr(app, "bridge_installed"):
        app.bridge_installed = _made(app, app.bridge_installation)
    found: Bridge | None = app.bridge_installed
    return found


def _made(app: Celery, told: Installation) -> Bridge:
    try:
        settings = told.settings or load_settings(for_=WorkerSettings)
        return Bridge(app, settings, told.registry or load_registry(settings.registry))
    except BridgeError as error:
        raise SystemExit(str(error)) from None


def setup_queues(app: Celery, stock: Callable[..., None], include: Any, exclude: Any = None) -> None:
    """As Celery's, which is told only of what is not the bridge's."""
    named, left_out = str_to_list(include) or [], str_to_list(exclude) or []
    if named and not any(name.startswith(QUEUE_PREFIX) for name in named):
        app.bridge_installed = None  # not even its settings matter here
        return stock(include, exclude)
    bridge = bridge_of(app)
    if bridge is None:
        return stock(include, exclude)
    bridge.select(named, left_out)
    theirs = [name for name in named if not bridge.is_ours(name)]
    if named and not theirs:
        app.amqp.queues.deselect(list(app.amqp.queues.consume_from))
    return stock(theirs, [name for name in left_out if not bridge.is_ours(name)])


class WorkerStep(bootsteps.StartStopStep):
    """Made before the pool: its processes are forked with the bridge's tasks. Moves retries, and reports."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        worker.bridge_consumer = None
        bridge = bridge_of(worker.app)
        self.enabled = bridge is not None and _take_over(bridge, worker)
        if bridge is None or not self.enabled:
            return
        self._bridge = bridge
        steps = worker_steps(bridge.settings, bridge.registry, consumer="bridge_consumer")
        self._steps = [step(worker) for step in steps]

    def start(self, worker: Any) -> None:
        """Say what is consumed and how it differs from the app's own, then start the mover and the heartbeat."""
        logger.info("bridge.installed queues=%s: consumed beside the app's own.", ",".join(self._bridge.consumed))
        for sentence in differences(worker.app, self._bridge.settings):
            logger.info("bridge.installed.differs: %s", sentence)
        for step in self._steps:
            step.start(worker)

    def stop(self, worker: Any) -> None:
        """Stop them."""
        for step in reversed(self._steps):
            step.stop(worker)

    terminate = stop


class ConsumerStep(bootsteps.StartStopStep):
    """Starts and stops the bridge's consumer with the team's."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def include_if(self, consumer: Any) -> bool:
        """Only in a worker that consumes queues of the bridge."""
        bridge = bridge_of(consumer.app)
        return bridge is not None and bool(bridge.consumed)

    def create(self, consumer: Any) -> None:
        """Make the bridge's consumer, and have ``celery control add_consumer`` reach it."""
        bridge, worker = consumer.app.bridge_installed, consumer.controller
        worker.bridge_consumer = self._consumer = InstalledConsumer(bridge.app, worker, bridge.settings)
        for name in ("add_task_queue", "cancel_task_queue"):
            setattr(consumer, name, _either(getattr(consumer, name), getattr(self._consumer, name), bridge.registry))

    def start(self, consumer: Any) -> None:
        """Consume at once where there is no loop; RabbitMQ would deliver before the pool has joined a loop."""
        if consumer.hub is None:
            self._consumer.begin(consumer)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """Consume; the pool has joined the loop before."""
        self._consumer.begin(consumer)

    def stop(self, consumer: Any) -> None:
        """Stop consuming: for good as the worker ends, else until the team's consumer is connected again."""
        if consumer.blueprint.state == bootsteps.RUN:
            self._consumer.pause()
        else:
            self._consumer.stop_claiming()

    terminate = stop

    def shutdown(self, consumer: Any) -> None:  # noqa: ARG002  (Celery's signature)
        """Close the connection: nothing is acknowledged any more."""
        self._consumer.end()


def _either(team: Any, ours: Any, registry: Registry) -> Any:
    def call(queue: str, *args: Any, **kwargs: Any) -> Any:
        return (ours if queue in registry.queues else team)(queue, *args, **kwargs)

    return call


def _take_over(bridge: Bridge, worker: Any) -> bool:
    """Take the bridge's queues from the app, and mend the pool; whether there are any to consume."""
    if bridge.consumed and not _can_consume(worker):
        bridge.consumed = []
    bridge.take_queues()
    if bridge.consumed and worker.pool_cls is prefork.TaskPool:
        no_fresh_interpreters(worker.pool_start_method)
        worker.pool_cls = mended.TaskPool
    return bool(bridge.consumed)


def _can_consume(worker: Any) -> bool:
    """Whether the worker has a loop, or threads that take turns; else the bridge's queues are left to other workers."""
    if worker.use_eventloop or getattr(worker.pool_cls, "is_green", False):
        return True
    logger.error(
        "bridge.installed.idle: this worker's broker (%s) has no event loop in Celery, so it consumes none of the "
        "bridge's queues. Run celery -A bridge.worker worker beside it.",
        worker.app.connection_for_read().transport.driver_type,
    )
    return False


def no_fresh_interpreters(method: str) -> None:
    """Refuse processes that are started from nothing, and not forked with the tasks.

    Raises:
        SystemExit: says what to do.
    """
    named = next((one for one in (method, get_start_method()) if one != "fork"), None)
    if named:
        raise SystemExit(
            f"The pool's processes are started by {named}, and would not have the bridge's tasks. Set "
            "worker_pool_start_method to fork, use another pool, or run celery -A bridge.worker worker beside this one."
        )
