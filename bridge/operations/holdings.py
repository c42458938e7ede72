"""What every queue of ours holds: on it, claimed by workers, waiting for a retry, among the dead letters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.messages.queue_state import QueueState
from bridge.model.registry import Registry
from bridge.model.registry.identity import CatalogIdentity, identity_of
from bridge.operations.health import is_consuming, stranded
from bridge.operations.selection import FOREVER_MS
from bridge.operations.status import WorkerState, worker_states
from bridge.operations.survey import QueueSurvey, Survey
from bridge.redis_adapter import Store
from bridge.settings import AccountingSettings

KEYS_MAX = 5_000_000
RETRIES_LOOKS_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """One queue.

    Attributes:
        name: name of the queue.
        registered: whether the registry has it.
        waiting: messages on it.
        oldest_age_s: since the one that is taken next was accepted; None if nothing waits, or it is unknown.
        claimed: messages of it claimed by workers; None where the broker does not say.
        retries: events that wait for another attempt on it.
        dead: dead letters that were on it.
        workers: that consume it.
        elsewhere: whether workers consume it, and all of these have another catalog than this process.
        advice: what is stranded on it, and what to do; empty if nothing is.
    """

    name: str
    registered: bool
    waiting: int
    oldest_age_s: float | None
    claimed: int | None
    retries: int
    dead: int
    workers: tuple[str, ...]
    elsewhere: bool = False
    advice: str = ""

    @property
    def is_stranded(self) -> bool:
        """Whether something waits on it that no worker will ever take."""
        return bool(self.advice)


def read_holdings(store: Store, settings: AccountingSettings, registry: Registry) -> tuple[Holding, ...]:
    """Every queue that the registry has, that holds something, or that a worker consumes; the registry's first."""
    now_ms = store.clock.read_ms()
    queues = QueueSurvey(store, settings, registry)
    survey = queues.read(now_ms, keys_max=KEYS_MAX, looks_max=RETRIES_LOOKS_MAX)
    consuming = [worker for worker in worker_states(store.workers, now_ms) if is_consuming(settings, worker)]
    states = {queue.name: queue for queue in survey.queues}
    retries = Counter[str]()
    for _, queue, number in survey.retries:
        retries[queue] += number
    dead = Counter(head.queue for head in store.dead_letters.heads(between_ms=(0, FOREVER_MS)))
    claimed = queues.claimed()
    served: dict[str, list[str]] = {}
    for worker in consuming:
        for queue in worker.known.report.queues:
            served.setdefault(queue, []).append(worker.known.name)
    own = identity_of(registry)
    known_here = {
        queue for worker in consuming if not _is_elsewhere(own, worker) for queue in worker.known.report.queues
    }
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


def _is_elsewhere(own: CatalogIdentity, worker: WorkerState) -> bool:
    theirs = CatalogIdentity.parse(worker.known.report.catalog)
    return theirs is not None and theirs.shape != own.shape


def _advice(
    registry: Registry, state: QueueState | None, survey: Survey, name: str, consuming: Sequence[WorkerState]
) -> str:
    of_queue = Survey(
        queues=(state,) if state else (),
        claimed=None,
        retries=tuple(waiting for waiting in survey.retries if waiting.queue == name),
    )
    return " ".join(fault.sentence for fault in stranded(registry, of_queue, consuming))
