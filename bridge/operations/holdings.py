"""What every queue of ours holds, on it, claimed, waiting and dead; and moving what stands on one to another."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.messages.queue_item import QueueState
from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.model.registry import Registry
from bridge.model.registry.identity import CatalogIdentity, identity_of
from bridge.operations.health import consuming_workers, stranded
from bridge.operations.selection import FOREVER_MS
from bridge.operations.survey import Survey, read_survey
from bridge.ports import Store
from bridge.runtime.identity import who_am_i
from bridge.runtime.reports import KnownWorker
from bridge.settings import AccountingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """One queue."""

    name: str
    registered: bool  # whether the registry has it
    waiting: int  # messages on it
    oldest_age_s: float | None  # since the one that is taken next was accepted; None if nothing waits, or it is unknown
    claimed: int | None  # messages of it claimed by workers; None where the broker does not say
    retries: int  # events that wait for another attempt on it
    dead: int  # dead letters that were on it
    workers: tuple[str, ...]  # that consume it
    elsewhere: bool = False  # whether workers consume it, and all of these have another catalog than this process
    advice: str = ""  # what is stranded on it, and what to do; empty if nothing is

    @property
    def is_stranded(self) -> bool:
        """Whether something waits on it that no worker will ever take."""
        return bool(self.advice)


def read_holdings(store: Store, settings: AccountingSettings, registry: Registry) -> tuple[Holding, ...]:
    """Every queue that the registry has, that holds something, or that a worker consumes; the registry's first."""
    survey = read_survey(store, registry, store.clock.now_ms(), thorough=True)
    consuming = consuming_workers(settings, store.workers.known())
    states = {queue.name: queue for queue in survey.queues}
    retries = Counter[str]()
    for _, queue, number in survey.retries:
        retries[queue] += number
    dead = Counter(head.queue for head in store.dead_letters.heads(between_ms=(0, FOREVER_MS)))
    claimed = store.queues.claimed()
    served: dict[str, list[str]] = {}
    for worker in consuming:
        for queue in worker.report.queues:
            served.setdefault(queue, []).append(worker.name)
    own = identity_of(registry)
    known_here = {queue for worker in consuming if not _is_elsewhere(own, worker) for queue in worker.report.queues}
    names = dict.fromkeys([*registry.queues, *sorted({*states, *retries, *dead, *(claimed or ()), *served} - {""})])
    return tuple(
        Holding(
            name=name,
            registered=name in registry.queues,
            waiting=states[name].depth if name in states else 0,
            oldest_age_s=states[name].oldest_age_s if name in states else None,
            claimed=None if claimed is None else claimed[name],
            retries=retries[name],
            dead=dead[name],
            workers=tuple(served.get(name, ())),
            elsewhere=name in served and name not in known_here,
            advice=_advice(registry, states.get(name), survey, name, consuming),
        )
        for name in names
    )


def _is_elsewhere(own: CatalogIdentity, worker: KnownWorker) -> bool:
    theirs = CatalogIdentity.parse(worker.report.catalog)
    return theirs is not None and theirs.shape != own.shape


def _advice(
    registry: Registry, state: QueueState | None, survey: Survey, name: str, consuming: Sequence[KnownWorker]
) -> str:
    of_queue = Survey(
        queues=(state,) if state else (),
        claimed=None,
        retries=tuple(waiting for waiting in survey.retries if waiting.queue == name),
    )
    return " ".join(fault.sentence for fault in stranded(registry, of_queue, consuming))


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What came of a move."""

    messages: int  # that were moved
    left: int  # that stand on the queue still: they came meanwhile


def move_queue(store: Store, source: str, target: str, *, who: str = "", reason: str = "") -> Moved:
    """Move what stands on a queue now; what workers have of it comes back there when they give it up.

    Order is kept, behind what stands on the other queue. Killed at any moment, nothing is lost; on RabbitMQ one
    message may then be on both, which does no harm. It is written into the log of operations.

    Raises:
        OperationRefusedError: it is the same queue.
        BrokerError: the broker is away or refuses; what was moved stays moved.
        StoreError: as everywhere; what was moved stays moved.
    """
    if source == target:
        raise OperationRefusedError(f"{source} is the same queue.")
    moved = left = 0
    try:
        for moved, left in store.queues.move(source, target):  # noqa: B007  (the last says it all)
            pass
    finally:
        if moved:
            entry = LogEntry(
                who=who or who_am_i(),
                action="queues.move",
                selection=f"{source} to {target}",
                numbers={"messages": moved},
                reason=reason,
            )
            store.log.append(entry)
    return Moved(messages=moved, left=left)
