"""``QueueSurvey``: every queue that holds something of ours, and what waits for its next attempt."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from bridge.messages.queue_state import QueueState
from bridge.model.registry import Registry
from bridge.redis_adapter import Store, WaitingFor
from bridge.settings import AccountingSettings
from bridge.wiring import queue_reader

FIND_KEYS_MAX = 20_000
"""Keys of the broker among which one look searches for queues: it takes Redis about 10 ms, in steps of half a ms."""
OTHERS_MAX = 200
"""Queues beside the registry's that one survey looks at; the newest are taken first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The queues at one moment.

    Attributes:
        queues: the registry's, and others of the bridge on which something waits.
        claimed: messages claimed by workers; None where the broker does not say.
        retries: what waits for its next attempt, by task and queue; of those that are due next.
    """

    queues: tuple[QueueState, ...]
    claimed: int | None
    retries: tuple[WaitingFor, ...]


class QueueSurvey:
    """Reads one survey after another. Not thread-safe.

    Args:
        registry: the registry whose queues are shown in any case.
    """

    def __init__(self, store: Store, settings: AccountingSettings, registry: Registry) -> None:
        self._registered = registry.queues
        self._names = store.queue_names
        self._reader = queue_reader(settings, store.ledger)

    def read(self, now_ms: int, *, keys_max: int = FIND_KEYS_MAX, looks_max: int = 1) -> Survey:
        """The present state.

        Args:
            now_ms: Redis time.
            keys_max: keys of the broker among which it looks for queues; the next call goes on behind them.
            looks_max: looks through the waiting retries, next due first.
        """
        on_broker = self._reader.names(keys_max)
        others = dict.fromkeys([*sorted(on_broker), *self._names.all()])
        names = [*self._registered, *islice(self._unregistered(others), OTHERS_MAX)]
        queues, claimed = self._reader.read(names, now_ms)
        registered = frozenset(self._registered)
        shown = (replace(queue, registered=queue.name in registered) for queue in queues)
        return Survey(
            queues=tuple(queue for queue in shown if queue.registered or queue.depth),
            claimed=claimed,
            retries=self._names.retries(looks_max=looks_max),
        )

    def claimed(self) -> Counter[str] | None:
        """How many messages of each queue workers have claimed; None where the broker does not say."""
        return self._reader.claimed()

    def _unregistered(self, names: dict[str, None]) -> Iterator[str]:
        return (name for name in names if name not in self._registered)
