"""``RetryMover``: puts due retries back on their queue; any number of workers may run one."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from bridge.messages import TaskMessage
from bridge.model.bounds import RETRIES_BYTES_MAX
from bridge.model.errors import BrokerError, BrokerRefusedError, DecodeError, StoreError, StoreRefusedError
from bridge.model.pipeline import Stage
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.model.retry import RetryRecord
from bridge.ports import Queue, RetryQueue, WorkerReports
from bridge.runtime.identity import process_name
from bridge.runtime.supervision import OnceAKind, SupervisedThread
from bridge.worker.quarantine import Quarantine

logger = plain_logger(__name__)

GONE = "No worker has a task {task}: BRIDGE_REGISTRY has no such mapping any more."

POLL_S = 1.0
"""Longest pause between two looks: an idle bridge costs Redis one small script a second and worker."""
POLL_MIN_S = 0.02
TROUBLE_WAIT_S = 2.0
REFUSED_WAIT_S = 10.0
"""How long a mover waits that was refused for good: an operator may grant what is missing."""
STOP_TIMEOUT_S = 10.0
MESSAGE_MAX = 100
"""Retries in one message at most."""

HEARD_S = 10.0
"""A worker that was silent for longer is not counted on."""


class Router:
    """Which queue a due retry goes to: its task's today, by the registry.

    What this registry does not know stays on its own queue, if another worker, of another release, says that it
    consumes that one.
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
                routed.append(replace(record, queue=self._registry.queue_of(mapping)))
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


class RetryMover:
    """Claims due retries under a lease, sends them, and confirms.

    If it dies after sending and before confirming, the lease ends and they are sent once more, which is
    harmless: an event that was published is recognised. So they are, too, where another server became the master
    meanwhile (``moves`` says how often that was seen): what was sent to the old one may be nowhere.
    """

    def __init__(
        self,
        retries: RetryQueue,
        sender: Queue,
        quarantine: Quarantine,
        router: Router,
        moves: Callable[[], int] = lambda: 0,
    ) -> None:
        self._retries = retries
        self._sender = sender
        self._quarantine = quarantine
        self._router = router
        self._moves = moves
        self._thread = SupervisedThread(self._run, name="bridge-retry-mover")

    def start(self) -> None:
        """Start moving on a thread of its own."""
        self._sender.prepare()
        self._thread.start()

    def stop(self) -> None:
        """Stop, after what is under way. Idempotent."""
        self._thread.stop(STOP_TIMEOUT_S)

    def move(self) -> float:
        """Move what is due; returns the seconds to wait before the next look.

        Raises:
            StoreError: Redis is away, or refuses.
            BrokerError: the broker is away, or refuses; the claimed retries are due again after their lease.
        """
        self._sender.insist_on_room()
        moves = self._moves()
        claim = self._retries.claim()
        for event_id, raw in claim.unreadable:
            self._quarantine.bury_record(
                event_id, raw, DecodeError("The retry set's record of this event cannot be read.")
            )
        routed, gone = self._router.route(claim.records)
        for record in gone:
            self._quarantine.bury_retry(record, DecodeError(GONE.format(task=record.task)))
        if routed:
            self._sender.send(list(_messages(routed)))
        if self._moves() != moves:
            self._sender.close()  # it may still lead to the old one
            logger.warning("bridge.retries.moved_again retries=%d: another Redis became the master", len(claim.records))
        elif claim.records:
            self._retries.confirm(claim)
        return POLL_S if claim.next_due_s is None else min(POLL_S, max(POLL_MIN_S, claim.next_due_s))

    def _run(self) -> None:
        wait_s, trouble = 0.0, OnceAKind(logger)
        while not self._thread.stopping.wait(wait_s):
            try:
                wait_s = self.move()
                trouble.over()
            except (StoreError, BrokerError) as error:
                refused = isinstance(error, StoreRefusedError | BrokerRefusedError)
                trouble.log(error, "bridge.retries.stalled", logging.ERROR if refused else logging.WARNING)
                wait_s = REFUSED_WAIT_S if refused else TROUBLE_WAIT_S
        self._sender.close()


def _messages(records: Iterable[RetryRecord]) -> Iterable[TaskMessage]:
    """Group retries of one task and attempt; an event that may have killed its worker travels alone."""
    groups: dict[tuple[str, str, int], list[bytes]] = {}
    for record in records:
        envelope = record.envelope.encode()
        attempt = record.attempt + 1
        if record.attempts[-1].failure.stage is Stage.WORKER:
            yield TaskMessage(task=record.task, queue=record.queue, envelopes=[envelope], attempt=attempt)
        else:
            groups.setdefault((record.task, record.queue, attempt), []).append(envelope)
    for (task, queue, attempt), envelopes in groups.items():
        for part in _parts(envelopes):
            yield TaskMessage(task=task, queue=queue, envelopes=part, attempt=attempt)


def _parts(envelopes: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Envelopes by messages, within the bounds of one."""
    part: list[bytes] = []
    size = 0
    for envelope in envelopes:
        if part and (len(part) == MESSAGE_MAX or size + len(envelope) > RETRIES_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(envelope)
        size += len(envelope)
    if part:
        yield part
