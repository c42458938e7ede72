"""``MemoryWorker``: the real handler, quarantine and retry mover over the twins, run when a test says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from bridge.messages import TaskMessage
from bridge.messages.bundling import split
from bridge.model.errors import BrokerError, DecodeError, StoreError
from bridge.model.registry import DomainToSSEMapping, Registry
from bridge.settings import WorkerSettings
from bridge.testing.store import MemoryStore
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from bridge.worker.mover import RetryMover, Router
from bridge.worker.quarantine import Quarantine


class MemoryWorker:
    """Handles what stands on the queues, on the thread of whoever asks; extractors run there, too."""

    def __init__(self, settings: WorkerSettings, registry: Registry, store: MemoryStore) -> None:
        self._registry, self._queue = registry, store.queue
        self._handler = Handler(settings, registry, store.worker_ports)
        self._quarantine = Quarantine(store.dead_letters, store.clock)
        self._mover = RetryMover(store.retries, store.queue, self._quarantine, Router(registry, store.workers))
        self._slow: set[type[Any]] = set()

    def work(self) -> None:
        """Put due retries on their queues, and handle all that stands there. While the store is away it stays there."""
        try:
            self._mover.move()
            while messages := [message for name in self._queue.names() if (message := self._queue.claim(name))]:
                for message in messages:
                    self._handle(message)
        except (StoreError, BrokerError):  # a worker waits, and tries again
            return

    def _handle(self, message: TaskMessage) -> None:
        try:
            self._run(message)
        except BaseException:
            self._queue.give_back(message)
            raise
        self._queue.acknowledge(message)

    def _run(self, message: TaskMessage) -> None:
        mapping = self._registry.mapping_of_task(message.task)
        booked_as = message.booked_as or (message.message_id if message.event_ids else "")
        if mapping is None:
            error = DecodeError(f"This catalog has no mapping for the task {message.task}.")
            self._quarantine(message.body(), message.queue, error, task=message.task, booked_as=booked_as)
            return
        self._handler.run(
            [
                Job(
                    mapping=self._slowed(mapping),
                    envelopes=split(b",".join(message.envelopes)),
                    attempt=message.attempt,
                    message_id=message.message_id,
                    booked_as=booked_as,
                    redrive=message.redrive,
                )
            ]
        )

    @contextmanager
    def slow(self, event_class: type[Any]) -> Iterator[None]:
        """Meanwhile the extractor of a class runs out of time, as if it took forever."""
        if event_class not in self._registry.by_class:
            raise ValueError(f"{event_class.__name__} has no mapping in this catalog.")
        self._slow.add(event_class)
        try:
            yield
        finally:
            self._slow.discard(event_class)

    def _slowed(self, mapping: DomainToSSEMapping) -> DomainToSSEMapping:
        return (
            replace(mapping, payload_extractor=_run_out_of_time)
            if mapping.domain_event_class in self._slow
            else mapping
        )


def _run_out_of_time(_event: object) -> NoReturn:
    """Raise what Celery raises in an extractor whose time is over."""
    from bridge.celery_runtime import task

    raise task.out_of_time()
