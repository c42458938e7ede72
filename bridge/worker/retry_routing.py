"""``Router``: which queue a due retry goes to: its record names the one that it had, and the registry another."""

from collections.abc import Sequence

from msgspec.structs import replace

from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.model.retry import RetryRecord
from bridge.ports import WorkerReports
from bridge.runtime.identity import process_name

HEARD_S = 10.0
"""A worker that was silent for longer is not counted on."""


class Router:
    """Routes by the registry; for what it does not know, by what other workers say that they consume.

    Args:
        registry: registry of this worker.
        workers: the reports of all.
    """

    def __init__(self, registry: Registry, workers: WorkerReports) -> None:
        self._registry = registry
        self._workers = workers
        self._catalog = str(identity_of(registry))

    def route(self, records: Sequence[RetryRecord]) -> tuple[list[RetryRecord], list[RetryRecord]]:
        """Records with the queue that they go to, and records that no living worker could try."""
        routed: list[RetryRecord] = []
        unknown: list[RetryRecord] = []
        for record in records:
            mapping = self._registry.mapping_of_task(record.task)
            if mapping is None:
                unknown.append(record)
            else:
                routed.append(_on(record, self._registry.queue_of(mapping)))
        if not unknown:
            return routed, []
        served = self._served_by_others()
        return (
            [*routed, *(record for record in unknown if record.queue in served)],
            [record for record in unknown if record.queue not in served],
        )

    def _served_by_others(self) -> frozenset[str]:
        """Queues of living workers of another release, which may know what this one does not."""
        return frozenset(
            queue
            for worker in self._workers.known()
            if worker.process != process_name()
            and worker.report.catalog != self._catalog
            and worker.silent_s <= HEARD_S
            for queue in worker.report.queues
        )


def _on(record: RetryRecord, queue: str) -> RetryRecord:
    return record if record.queue == queue else replace(record, queue=queue)
