"""``Events``: Celery's monitoring events, such as a worker's heartbeat for Flower, which never hold up the worker."""

from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher

from bridge.amqp_adapter.alarm import AlarmWatch
from bridge.model.errors import BLOCKED
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)


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
