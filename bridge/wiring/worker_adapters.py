"""``worker_ports``: the adapters behind a worker's ports. That each satisfies its port is checked here, by its type."""

from functools import partial

from bridge.model.registry import Registry
from bridge.ports import WorkerPorts
from bridge.redis_adapter import DeadLetters, Ledger, RetrySet, Settler, Starts, StoreClock, Tally, connect
from bridge.settings import Settings
from bridge.wiring.task_sender import TaskSender


def worker_ports(settings: Settings, registry: Registry) -> WorkerPorts:
    """One Redis, and the broker of the settings. Opens no connection, so that each process has its own."""
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
        open_queue=partial(TaskSender, settings, registry),
    )
