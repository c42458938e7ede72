"""What every queue of ours holds: on it, claimed by workers, waiting for a retry, among the dead letters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.messages.queue_item import QueueState
from bridge.model.registry import Registry
from bridge.model.registry.identity import CatalogIdentity, identity_of
from bridge.operations.health import consuming_workers, stranded
from bridge.operations.selection import FOREVER_MS
from bridge.operations.survey import Survey, read_survey
from bridge.ports import Store
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
