"""``read_survey``: every queue that holds something of ours, and what waits for its next attempt."""

from dataclasses import dataclass, replace
from itertools import islice

from bridge.messages.queue_item import QueueState
from bridge.model.registry import Registry
from bridge.model.retry import WaitingFor
from bridge.ports import Store

OTHERS_MAX = 200
"""Queues beside the registry's that one survey looks at; the newest are taken first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The queues at one moment."""

    queues: tuple[QueueState, ...]  # the registry's, and others of the bridge on which something waits
    claimed: int | None  # messages claimed by workers; None where the broker does not say
    retries: tuple[WaitingFor, ...]  # what waits for its next attempt, by task and queue; of those that are due next


def read_survey(store: Store, registry: Registry, now_ms: int, *, thorough: bool = False) -> Survey:
    """The queues now.

    Args:
        store: the broker's queues, their names, and the retries.
        registry: whose queues are shown in any case.
        now_ms: time of the store.
        thorough: look through the whole broker for others, and through all retries; otherwise a little further than the
            look before, and at the retries that are due next.

    Raises:
        BrokerError: the broker is away or refuses.
    """
    others = dict.fromkeys([*sorted(store.queues.find(thorough=thorough)), *store.queue_names.all()])
    unregistered = (name for name in others if name not in registry.queues)
    queues, claimed = store.queues.read([*registry.queues, *islice(unregistered, OTHERS_MAX)], now_ms)
    shown = (replace(queue, registered=queue.name in registry.queues) for queue in queues)
    return Survey(
        queues=tuple(queue for queue in shown if queue.registered or queue.depth),
        claimed=claimed,
        retries=tuple(store.retries.by_queue(thorough=thorough)),
    )
