"""Which adapter stands behind each port, chosen once from the settings; imported when it is asked for, not before."""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
from functools import partial
from typing import TYPE_CHECKING

from bridge.model.registry import Registry
from bridge.settings import AccountingSettings, QueueSettings, WorkerSettings
from bridge.settings.topology import topology

if TYPE_CHECKING:
    import redis

    from bridge.ports import BrokerQueues, Queue, Store, WorkerPorts
    from bridge.redis_adapter import Ledger


def open_store(settings: AccountingSettings, *, briefly: bool = False, insists: bool = True) -> "Store":
    """The store of a bridge. Opens no connection before its first use; closed by ``close`` or as a context.

    ``briefly``: give up soon when it does not answer, and try nothing twice. ``insists``: as of ``connect``.
    """
    from bridge.redis_adapter import connect, connect_briefly

    return store_of(connect_briefly(settings) if briefly else connect(settings, insists=insists), settings)


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


def open_queue(settings: QueueSettings, registry: Registry) -> "Queue":
    """The way to the broker's queues; a connection is opened at the first ``send``, and again after trouble.

    Redis is written to directly. The rest goes through kombu, which a producer on Redis need not import.
    """
    "localhost".encode("idna")  # as a host's name is looked up by whatever thread sends first; codecs are cached
    if topology(settings).on_redis:
        from bridge.redis_adapter import RedisTaskQueue

        return RedisTaskQueue(settings)
    from bridge.amqp_adapter.task_queue import AmqpTaskQueue

    return AmqpTaskQueue(settings, registry)


def worker_ports(settings: WorkerSettings, registry: Registry) -> "WorkerPorts":
    """One Redis, and the broker of the settings. Opens no connection, so that each process has its own."""
    from bridge import redis_adapter as adapters
    from bridge.ports import WorkerPorts

    client = adapters.connect(settings)
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
