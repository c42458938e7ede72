"""Which adapter stands behind each port, chosen once from the settings; imported when it is asked for, not before."""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from bridge.model.registry import Registry
from bridge.settings import AccountingSettings, QueueSettings, ServerSettings, StreamSettings, WorkerSettings
from bridge.settings.topology import topology

if TYPE_CHECKING:
    import redis

    from bridge.ports import BrokerQueues, GatewayPorts, ProducerReports, Queue, Store, WorkerPorts
    from bridge.redis_adapter import Ledger


class Adapters(Protocol):
    """What stands behind the ports of an application's processes."""

    def open_store(self, settings: AccountingSettings, *, briefly: bool = False, insists: bool = True) -> "Store":
        """As the function of this name."""
        ...

    def open_queue(self, settings: QueueSettings, registry: Registry) -> "Queue":
        """As the function of this name."""
        ...

    def gateway_ports(self, settings: StreamSettings) -> "GatewayPorts":
        """As the function of this name."""
        ...

    def producer_reports(self, settings: ServerSettings) -> "tuple[ProducerReports, Callable[[], None]]":
        """As the function of this name."""
        ...


def open_store(settings: AccountingSettings, *, briefly: bool = False, insists: bool = True) -> "Store":
    """The store of a bridge. Opens no connection before its first use; closed by ``close`` or as a context.

    ``briefly``: give up soon when it does not answer, and try nothing twice. ``insists``: as of ``connect``.
    """
    return _adapters[-1].open_store(settings, briefly=briefly, insists=insists)


def open_queue(settings: QueueSettings, registry: Registry) -> "Queue":
    """The way to the broker's queues; a connection is opened at the first ``send``, and again after trouble.

    Redis is written to directly. The rest goes through kombu, which a producer on Redis need not import.
    """
    return _adapters[-1].open_queue(settings, registry)


def gateway_ports(settings: StreamSettings) -> "GatewayPorts":
    """What a gateway serves streams from. Opens no connection before its first use."""
    return _adapters[-1].gateway_ports(settings)


def producer_reports(settings: ServerSettings) -> "tuple[ProducerReports, Callable[[], None]]":
    """Where a producer reports, by a connection that gives up soon, and what closes that."""
    return _adapters[-1].producer_reports(settings)


@contextmanager
def stand_in(adapters: Adapters) -> Iterator[None]:
    """Have a test's adapters stand behind whatever is opened meanwhile in this process. The innermost counts."""
    _adapters.append(adapters)
    try:
        yield
    finally:
        _adapters[:] = [one for one in _adapters if one is not adapters]


class Outside:
    """The real adapters: satisfies ``Adapters``."""

    def open_store(self, settings: AccountingSettings, *, briefly: bool = False, insists: bool = True) -> "Store":
        """One Redis, and the broker of the settings."""
        from bridge.redis_adapter import connect, connect_briefly

        return store_of(connect_briefly(settings) if briefly else connect(settings, insists=insists), settings)

    def open_queue(self, settings: QueueSettings, registry: Registry) -> "Queue":
        """On Redis, or through kombu."""
        "localhost".encode("idna")  # as a host's name is looked up by whatever thread sends first; codecs are cached
        if topology(settings).on_redis:
            from bridge.redis_adapter import RedisTaskQueue

            return RedisTaskQueue(settings)
        from bridge.amqp_adapter.task_queue import AmqpTaskQueue

        return AmqpTaskQueue(settings, registry)

    def gateway_ports(self, settings: StreamSettings) -> "GatewayPorts":
        """One client for asyncio."""
        from bridge import redis_adapter as adapters
        from bridge.ports import GatewayPorts

        client = adapters.connect_async(settings)
        return GatewayPorts(
            channels=adapters.Keyspace.of(settings),
            event_log=adapters.History(client, settings),
            reports=adapters.Gateways(client),
            tickets=adapters.Tickets(client),
            withdrawn=adapters.WithdrawnRights(client),
            open_channel=partial(adapters.LiveSubscription, client),
            close=client.aclose,
        )

    def producer_reports(self, settings: ServerSettings) -> "tuple[ProducerReports, Callable[[], None]]":
        """One client."""
        from bridge.redis_adapter import Producers, connect_briefly

        client = connect_briefly(settings)
        return Producers(client), client.close


_adapters: list[Adapters] = [Outside()]


def store_of(client: "redis.Redis", settings: AccountingSettings) -> "Store":
    """The store behind a client, which is closed with it. That each adapter satisfies its port is checked here."""
    from bridge import redis_adapter as adapters
    from bridge.ports import Store

    ledger = adapters.Ledger(client, settings)
    return Store(
        clock=adapters.StoreClock(client),
        accounting=ledger,
        dead_letters=adapters.DeadLetters(client, settings),
        retries=adapters.RetrySet(client, settings),
        kept=adapters.KeptEvents(client),
        redrives=adapters.RedriveJobs(client, settings),
        published=adapters.PublishedEvents(client, settings),
        overview=adapters.StoreOverview(client),
        log=adapters.OperationsLog(client),
        rights=adapters.RightsRecord(client, settings),
        workers=adapters.Workers(client),
        producers=adapters.Producers(client),
        queues=_broker_queues(settings, ledger),
        queue_names=adapters.QueueNames(client),
        open_queue=partial(open_queue, settings),
        close=client.close,
    )


def _broker_queues(settings: QueueSettings, ledger: "Ledger") -> "BrokerQueues":
    if topology(settings).on_redis:
        from bridge.redis_adapter import RedisBrokerQueues

        return RedisBrokerQueues(settings, ledger)
    from bridge.amqp_adapter.broker_queues import RabbitBrokerQueues

    return RabbitBrokerQueues(settings, ledger)


def worker_ports(settings: WorkerSettings, registry: Registry, *, insists: bool = True) -> "WorkerPorts":
    """One Redis, and the broker of the settings. Opens no connection, so that each process has its own.

    ``insists``: as of ``bridge.redis_adapter.connect``.
    """
    from bridge import redis_adapter as adapters
    from bridge.ports import WorkerPorts

    client = adapters.connect(settings, insists=insists)
    policies = [row.retry for row in registry.mappings if row.retry]
    longest_retry_s = max((policy.cap_s * policy.attempts for policy in policies), default=0)
    return WorkerPorts(
        publisher=adapters.Settler(client, settings, longest_retry_s=longest_retry_s),
        accounting=adapters.Ledger(client, settings),
        retries=adapters.RetrySet(client, settings),
        dead_letters=adapters.DeadLetters(client, settings),
        starts=adapters.Starts(client),
        metrics=adapters.Tally(client),
        clock=adapters.StoreClock(client),
        master=adapters.MasterWatch(client, settings),
        open_queue=partial(open_queue, settings, registry),
    )
