"""``Settler``: the worker's side of settling, synchronous; Redis may work on one batch while the next is prepared."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import redis

from bridge.model.publishing import Delivery, Receipt
from bridge.redis_adapter.client import store_errors
from bridge.redis_adapter.script import Answer, Call, PipelinedScriptCall, script
from bridge.redis_adapter.settle import BATCH_MAX, SettleCall
from bridge.settings import WorkerSettings


class Settler:
    """``bridge.ports.Publisher`` on Redis; safe with threads. The client stays its owner's to close.

    ``longest_retry_s`` is how long the most patient mapping may retry; seen marks outlive it.
    """

    def __init__(self, client: redis.Redis, settings: WorkerSettings, *, longest_retry_s: float = 0) -> None:
        self._client = client
        self._call = SettleCall(settings, longest_retry_s=longest_retry_s)
        self._script = script("settle")

    def prepare(self, deliveries: Sequence[Delivery]) -> "PendingPublish":
        return PendingPublish(self, deliveries)

    def arguments(self, batch: Sequence[Delivery]) -> Call:
        """What one call of the script takes."""
        return self._call.arguments(batch)

    def ask(self, call: Call) -> Answer:
        """Make one call, and wait for its answer.

        Raises:
            redis.RedisError: it failed.
        """
        pending = self.prepared(call)
        pending.send()
        return pending.answer()

    def prepared(self, call: Call) -> PipelinedScriptCall:
        """One call, ready to be sent."""
        return self._script.prepared(self._client, call)


class PendingPublish:
    """Deliveries that are about to be published and accounted for."""

    def __init__(self, settler: Settler, deliveries: Sequence[Delivery]) -> None:
        self._settler = settler
        self._batches = [(settler.arguments(batch), _events_in(batch)) for batch in _batches(deliveries)]
        with store_errors():
            self._first = settler.prepared(self._batches[0][0]) if self._batches else None
        self._begun = False

    def begin(self) -> None:
        if self._first is not None and not self._begun:
            self._begun = True
            with store_errors():
                self._first.send()

    def unpublished(self) -> dict[int, Receipt]:
        """As ``bridge.ports.PendingPublish.unpublished``. A receipt an event would cost more than all the rest."""
        self.begin()
        unpublished: dict[int, Receipt] = {}
        start = 0
        for call, events in self._batches:
            with store_errors():
                sent, self._first = self._first, None
                answer = sent.answer() if sent is not None else self._settler.ask(call)
            unpublished |= {start + place: receipt for place, receipt in SettleCall.unpublished(answer).items()}
            start += events
        return unpublished

    def abandon(self) -> None:
        if self._first is not None:
            self._first.abandon()
            self._first = None


def _events_in(batch: Sequence[Delivery]) -> int:
    return sum(len(delivery.events) for delivery in batch)


def _batches(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """As many deliveries together as one call may take."""
    batch: list[Delivery] = []
    room = BATCH_MAX
    for delivery in deliveries:
        for piece in _pieces(delivery):
            size = len(piece.events) + len(piece.skipped)
            if batch and size > room:
                yield batch
                batch, room = [], BATCH_MAX
            batch.append(piece)
            room -= size
    if batch:
        yield batch


def _pieces(delivery: Delivery) -> Iterator[Delivery]:
    """A delivery, cut if it is larger than one call may be. The pieces of one do not end it as a whole."""
    if len(delivery.events) + len(delivery.skipped) <= BATCH_MAX:
        yield delivery
        return
    nothing = replace(delivery, whole=None, events=(), skipped=(), metrics=())
    for start in range(0, len(delivery.events), BATCH_MAX):
        metrics = delivery.metrics if start == 0 else ()
        yield replace(nothing, events=delivery.events[start : start + BATCH_MAX], metrics=metrics)
    for start in range(0, len(delivery.skipped), BATCH_MAX):
        yield replace(nothing, skipped=delivery.skipped[start : start + BATCH_MAX])
