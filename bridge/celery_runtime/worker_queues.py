"""``WorkerQueues``: what a worker may be told to consume: the queues of the registry, and others that held events."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

from celery.app.amqp import AMQP, Queues

from bridge.amqp_adapter.kombu_options import queue
from bridge.model.errors import BrokerError, StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.registry.metadata import QUEUE_PREFIX
from bridge.redis_adapter import QueueNames, connect_briefly, open_queues
from bridge.settings import WorkerSettings
from bridge.settings.topology import topology

logger = plain_logger(__name__)


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
            hint = f"Did you mean {near[0]}?" if near else "See sse-bridge queues."
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
    if not topology(settings).on_redis:
        return False
    with open_queues(settings) as broker:
        return broker.exists(name)
