"""Plain Celery: one task an event, on Redis or RabbitMQ.

Settings: https://docs.celeryq.dev/en/stable/userguide/optimizing.html (prefetch for short tasks, transient queues)
and https://docs.celeryq.dev/en/stable/userguide/tasks.html (ignore_result).
"""

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from benchmarks.peers.job import Publisher, broker_url, pack

PREFETCH_MULTIPLIER = 128

app = Celery("peer", broker=broker_url())
app.conf.update(
    task_ignore_result=True,
    result_backend=None,
    worker_prefetch_multiplier=PREFETCH_MULTIPLIER,
    worker_send_task_events=False,
    broker_pool_limit=1,
    broker_connection_retry_on_startup=True,
    task_default_queue="peer",
    task_queues=[Queue("peer", Exchange("peer", delivery_mode=1), routing_key="peer", durable=False)],
    task_default_exchange="peer",
    task_default_routing_key="peer",
    task_default_delivery_mode="transient",
)
_publisher = Publisher()


@app.task(name="publish")
def publish(raw: dict[str, Any]) -> None:
    """Handle one event."""
    _publisher.publish(raw)


class Sender:
    """``apply_async``."""

    def one(self, event: Any) -> None:
        """One message."""
        publish.apply_async(args=(pack(event),))

    def each(self, events: Sequence[Any]) -> None:
        """One message an event, over one connection that is kept."""
        with app.producer_or_acquire() as producer:
            for event in events:
                publish.apply_async(args=(pack(event),), producer=producer)

    def burst(self, events: Sequence[Any]) -> None:
        """One message an event, many in one write where kombu can."""
        with app.producer_or_acquire() as producer, producer.batch():
            for event in events:
                publish.apply_async(args=(pack(event),), producer=producer)

    def finish(self) -> None:
        """Nothing waits: each call returned when the broker had the message."""
