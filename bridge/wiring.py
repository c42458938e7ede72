"""Which adapter stands behind each port, chosen once from the settings; imported when it is asked for, not before."""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
from functools import partial
from typing import TYPE_CHECKING

from bridge.model.registry import Registry
from bridge.settings import AccountingSettings, QueueSettings, WorkerSettings
from bridge.settings.topology import topology

if TYPE_CHECKING:
    from bridge.messages.queue_state import QueueReader
    from bridge.ports import Queue, WorkerPorts
    from bridge.redis_adapter import Ledger, Store


def open_store(settings: AccountingSettings, *, briefly: bool = False) -> "Store":
    """The store of a bridge. Opens no connection before its first use; closed by ``close`` or as a context.

    ``briefly``: give up soon when it does not answer, and try nothing twice.
    """
    from bridge.redis_adapter import Store, connect, connect_briefly

    return Store.of(connect_briefly(settings) if briefly else connect(settings), settings)


def queue_reader(settings: QueueSettings, ledger: "Ledger") -> "QueueReader":
    """The reader of queues that fits the broker. Opens no connection before its first use."""
    if topology(settings).on_redis:
        from bridge.redis_adapter import RedisQueueDepths

        return RedisQueueDepths(settings, ledger)
    from bridge.amqp_adapter.queue_depths import RabbitQueueDepths

    return RabbitQueueDepths(settings, ledger)


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
    from bridge.ports import WorkerPorts
    from bridge.redis_adapter import DeadLetters, Ledger, RetrySet, Settler, Starts, StoreClock, Tally, connect

    client = connect(settings)
    policies = [row.retry for row in registry.mappings if row.retry]
    longest_retry_s = max((policy.cap_s * policy.attempts for policy in policies), default=0)
    return WorkerPorts(
        publisher=Settler(client, settings, longest_retry_s=longest_retry_s),
        accounting=Ledger(client, settings),
        retries=RetrySet(client, settings),
        dead_letters=DeadLetters(client, settings),
        starts=Starts(client),
        metrics=Tally(client),
        clock=StoreClock(client),
        open_queue=partial(open_queue, settings, registry),
    )
