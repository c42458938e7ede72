"""``MemoryStore``: a twin of each port over one state, as one Redis stands behind the real ones."""

from bridge.model.accounting import Balance
from bridge.ports import GatewayPorts, Store, WorkerPorts
from bridge.settings import WorkerSettings
from bridge.testing.event_log import MemoryEventLog
from bridge.testing.failed_events import MemoryDeadLetters, MemoryRetryQueue
from bridge.testing.live_channel import MemoryChannels
from bridge.testing.operators import (
    MemoryAccounting,
    MemoryGateways,
    MemoryKept,
    MemoryMasterWatch,
    MemoryMetrics,
    MemoryOperationsLog,
    MemoryOverview,
    MemoryProducers,
    MemoryQueueNames,
    MemoryStartCounts,
    MemoryWorkers,
)
from bridge.testing.redrives import MemoryRedriveJobs
from bridge.testing.rights import MemoryRights, MemoryTickets
from bridge.testing.state import ManualClock, State
from bridge.testing.task_queue import MemoryQueue


class MemoryStore:
    """All that is kept. Everything it offers shares its clock and its faults.

    Args:
        settings: bounds and times; the defaults if there are none.
        clock: source of the time; None for one that stands.

    Attributes:
        clock: for ``advance``.
        faults: for trouble.
        metrics: numbers by name.
    """

    def __init__(self, settings: WorkerSettings | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self._state = State(settings or WorkerSettings(), self.clock)
        self.faults = self._state.faults
        self.channels = MemoryChannels(self.faults)
        self.event_log = MemoryEventLog(self._state, self.channels)
        self.log = MemoryOperationsLog(self._state)
        self.rights = MemoryRights(self._state, self.channels)
        self.tickets = MemoryTickets(self._state)
        self.accounting = MemoryAccounting(self._state, self.log)
        self.starts = MemoryStartCounts(self._state)
        self.metrics = MemoryMetrics(self._state)
        self.retries = MemoryRetryQueue(self._state)
        self.dead_letters = MemoryDeadLetters(self._state)
        self.queue = MemoryQueue(self._state)
        self.workers = MemoryWorkers(self._state)
        self.producers = MemoryProducers(self._state)
        self.queue_names = MemoryQueueNames(self._state)
        self.redrives = MemoryRedriveJobs(self._state, self.queue)
        self.gateways = MemoryGateways(self._state, lambda: self.event_log._began)
        self.master = MemoryMasterWatch()

    @property
    def worker_ports(self) -> WorkerPorts:
        """What a worker needs. That each twin satisfies its port is checked here, by its type."""
        return WorkerPorts(
            publisher=self.event_log,
            accounting=self.accounting,
            retries=self.retries,
            dead_letters=self.dead_letters,
            starts=self.starts,
            metrics=self.metrics,
            clock=self.clock,
            master=self.master,
            open_queue=lambda: self.queue,
        )

    @property
    def gateway_ports(self) -> GatewayPorts:
        """What a gateway needs."""
        return GatewayPorts(
            channels=self.channels,
            event_log=self.event_log,
            reports=self.gateways,
            tickets=self.tickets,
            withdrawn=self.rights,
            open_channel=self.channels.connection,
            close=_nothing_to_close,
        )

    @property
    def operators_store(self) -> Store:
        """What operations work with."""
        return Store(
            clock=self.clock,
            accounting=self.accounting,
            dead_letters=self.dead_letters,
            retries=self.retries,
            kept=MemoryKept(self._state),
            redrives=self.redrives,
            published=self.event_log,
            overview=MemoryOverview(self._state),
            log=self.log,
            rights=self.rights,
            workers=self.workers,
            producers=self.producers,
            queues=self.queue,
            queue_names=self.queue_names,
            open_queue=lambda _: self.queue,
            close=lambda: None,
        )

    def balance(self) -> Balance:
        """The accounting at this moment, whatever else goes wrong."""
        return self._state.balance()

    def count(self, name: str) -> int:
        """How often what ``name`` counts happened, or the number of that metric; 0 if it never did."""
        return self._state.counts[name] or self._state.metrics[name]


async def _nothing_to_close() -> None: ...
