"""``StatusReader``: the bridge at one moment, as operators see it: queues, workers, accounting, and its health."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from typing import TypeVar

from bridge.messages.queue_item import QueueState
from bridge.model.accounting import Balance
from bridge.model.errors import BrokerError, StoreRefusedError
from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.model.retry import WaitingFor
from bridge.operations.health import STILL_S, Fault, consuming_workers, deaths, judge
from bridge.operations.liveness import differences, producer_faults, thread_faults
from bridge.operations.outboxes import OutboxState, outbox_faults, outbox_remarks, outboxes_of
from bridge.operations.survey import Survey, read_survey
from bridge.ports import Figures, Store, WrongKey
from bridge.runtime.command_names import command
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported
from bridge.settings import AccountingSettings

T = TypeVar("T")
MISSING_AFTER_S = 60.0
MISSING_SAMPLE = 1_000
"""Messages on their way of which one look takes the oldest."""
CLOCK_BEHIND_MAX_S = 60.0
"""A clock that is corrected by less is nothing to tell of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status(Figures):
    """The bridge at one moment: the store's figures, and what the broker and the processes say."""

    queues: tuple[QueueState, ...]  # queues of the registry, and others of the bridge on which something waits
    claimed: int | None  # messages claimed by workers; None where the broker does not say
    workers: tuple[KnownWorker, ...]  # that did not say good-bye, also those that died; by name
    published_per_s: float | None  # since the last reading; None at the first
    producers: tuple[ProducerReport, ...]  # those that report
    faults: tuple[Fault, ...]  # why the bridge is not healthy; none if it is
    # What is no fault, and worth knowing: processes that have another catalog than this one.
    remarks: tuple[str, ...] = ()
    outboxes: tuple[OutboxState, ...] = ()  # tables of applications from which producers send
    retries: tuple[WaitingFor, ...] = ()  # what waits for which task on which queue, of the retries that are due next

    @property
    def retry_next_s(self) -> float | None:
        """Seconds until the next retry is due; below 0 if it is overdue; None if none waits."""
        return None if self.retry_next_ms is None else (self.retry_next_ms - self.at_ms) / 1000

    @property
    def dead_oldest_s(self) -> float | None:
        """Age of the oldest dead letter; None if there is none."""
        return _age_s(self.dead_oldest_ms, self.at_ms)

    @property
    def dead_newest_s(self) -> float | None:
        """Age of the newest: how long nothing has died."""
        return _age_s(self.dead_newest_ms, self.at_ms)

    @property
    def withdrawn_newest_s(self) -> float | None:
        """How long ago a user or session was disconnected last; None if none is in the record."""
        return _age_s(self.withdrawn_newest_ms, self.at_ms)

    @property
    def healthy(self) -> bool:
        """Whether events flow."""
        return not self.faults


def _around(read: Callable[[], T]) -> T | None:
    """What can be read; None where a key holds something else, of which is told by its name."""
    try:
        return read()
    except StoreRefusedError as error:
        if error.code != "WRONGTYPE":
            raise
        return None


def _liveness(reported: Sequence[Reported], workers: Sequence[KnownWorker], gateways: GatewayStates) -> Iterator[Fault]:
    """Producers that do not send, and threads that do not run, of all processes that are heard."""
    yield from (Fault(subject="producers", sentence=sentence) for sentence in producer_faults(reported))
    for worker in workers:
        if worker.silent_s <= STILL_S:
            for sentence in thread_faults(f"Worker {worker.name}", worker.report.threads):
                yield Fault(subject="workers", sentence=sentence)
    for name, threads in gateways.threads.items():
        for sentence in thread_faults(f"Gateway {name}", threads):
            yield Fault(subject="gateways", sentence=sentence)


def _set_back_clock(behind_s: float) -> Iterator[str]:
    if behind_s > CLOCK_BEHIND_MAX_S:
        yield (
            f"Redis' clock is {behind_s:,.0f} s behind the newest position: it was set back, or somebody else wrote "
            "into a stream of the bridge. Events are published all the same; retries that were put off before wait so "
            f"much longer, unless you say: {command('retries now')}."
        )


def _set_back(balance: Balance) -> list[Fault]:
    if not balance.set_back:
        return []
    sentence = (
        f"Redis was set back: at least {balance.set_back} events that producers had handed over are in it no more, as "
        "after a fail-over to a replica that lagged behind. Send them again if you can; then audit --write-off ends "
        "this."
    )
    return [Fault(subject="redis", sentence=sentence)]


class StatusReader:
    """Reads one status after another. Not thread-safe.

    Args:
        store: one that gives up soon when Redis is away.
    """

    def __init__(self, store: Store, settings: AccountingSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._own = identity_of(registry)
        self._store = store
        self._before: tuple[int, int] | None = None

    def read(self) -> Status:
        """The present status. A broker that is away is a fault of the status.

        Raises:
            StoreUnavailableError: Redis is away, and nothing can be said.
        """
        figures = self._store.overview.read()
        now_ms, balance = figures.at_ms, figures.balance
        survey, faults = self._read_survey(now_ms)
        wrong = (*figures.wrong_keys, *self._wrong_queues())
        refusals = self._refusals()
        known = _around(self._store.workers.known)
        hears = not refusals and known is not None
        workers, reported = tuple(known or ()), _around(self._store.producers.all) or ()
        outboxes = outboxes_of(reported)
        return Status(
            **{each.name: getattr(figures, each.name) for each in fields(figures)} | {"wrong_keys": wrong},
            queues=survey.queues,
            claimed=survey.claimed,
            workers=workers,
            published_per_s=self._rate(now_ms, balance.published),
            producers=tuple(said.report for said in reported),
            retries=survey.retries,
            outboxes=outboxes,
            remarks=(
                *outbox_remarks(outboxes),
                *differences(self._own, workers, (said.report for said in reported), figures.gateways),
                *(key.sentence for key in wrong if key.spared),
                *_set_back_clock(figures.clock_behind_s),
            ),
            faults=(
                *refusals,
                *(Fault(subject="redis", sentence=key.sentence) for key in wrong if not key.spared),
                *_set_back(balance),
                *faults,
                *(() if refusals or faults else self._missing(balance.open, survey, workers, reported, now_ms)),
                *deaths(figures.recent),
                *judge(self._settings, self._registry, survey, workers, takes_writes=hears),
                *(Fault(subject="outboxes", sentence=sentence) for sentence in outbox_faults(outboxes)),
                *(() if refusals else _liveness(reported, workers, figures.gateways)),
            ),
        )

    def close(self) -> None:
        """Drop the connections of the store."""
        self._store.close()

    def _refusals(self) -> list[Fault]:
        """Why Redis takes no writes, if it takes none: then workers cannot be heard, and nothing can be published."""
        error = self._store.overview.write_refusal()
        if error is None or error.code == "NOPERM":  # this process may not write; that says nothing about the others
            return []
        sentence = f"Redis takes no writes, so that events wait, and workers may not be heard. {error}"
        return [Fault(subject="redis", sentence=sentence)]

    def _read_survey(self, now_ms: int) -> tuple[Survey, list[Fault]]:
        try:
            survey = _around(partial(read_survey, self._store, self._registry, now_ms))
            return survey or Survey(queues=(), claimed=None, retries=()), []
        except BrokerError as error:
            return Survey(queues=(), claimed=None, retries=()), [Fault(subject="broker", sentence=str(error))]

    def _missing(
        self, events: int, survey: Survey, workers: Sequence[KnownWorker], reported: Sequence[Reported], now_ms: int
    ) -> Iterator[Fault]:
        """Tell of what is on its way and nowhere to be seen. It is looked for where nothing waits or is in work."""
        consuming = [worker.report for worker in consuming_workers(self._settings, workers)]
        idle = consuming and all(not said.in_hand and said.consumed_age_s > STILL_S for said in consuming)
        held = survey.claimed or any(queue.depth for queue in survey.queues)
        if not events or held or not idle or any(said.report.waiting or said.report.spooled for said in reported):
            return
        summaries = islice(_around(self._store.accounting.summaries) or (), MISSING_SAMPLE)
        age_s = (now_ms - min((one.accepted_ms for one in summaries), default=now_ms)) / 1000
        if age_s > MISSING_AFTER_S:
            yield Fault(
                subject="events",
                sentence=f"{events:,} events are on their way, the oldest for {age_s:,.0f} s, and none is on a queue "
                "or with a worker: the broker dropped them, as by a policy (TTL, length), or somebody took them. "
                f"List them: {command('audit')}",
            )

    def _wrong_queues(self) -> Sequence[WrongKey]:
        with suppress(BrokerError):  # the survey tells of it
            return self._store.queues.wrong_keys(self._registry.queues)
        return ()

    def _rate(self, now_ms: int, published: int) -> float | None:
        before, self._before = self._before, (now_ms, published)
        if before is None or now_ms <= before[0]:
            return None
        # Below 0 after the accounting was emptied.
        return max(0.0, (published - before[1]) * 1000 / (now_ms - before[0]))


def _age_s(since_ms: float | None, now_ms: int) -> float | None:
    return None if since_ms is None else (now_ms - since_ms) / 1000
