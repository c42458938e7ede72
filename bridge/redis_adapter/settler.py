"""``Settler``: the worker's side of settling, synchronous; Redis may work on one batch while the next is prepared."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import redis

from bridge.redis_adapter.client import store_errors
from bridge.redis_adapter.script import Call, PipelinedScriptCall, script
from bridge.redis_adapter.settle import BATCH_MAX, Answer, Delivery, Receipt, SettleCall
from bridge.settings import Settings


class Settler:
    """Publishes batches; safe with threads.

    Args:
        client: stays yours to close.
        settings: retention and limits.
        longest_retry_s: how long the most patient mapping may retry; seen marks outlive it.
    """

    def __init__(self, client: redis.Redis, settings: Settings, *, longest_retry_s: float = 0) -> None:
        self._client = client
        self._call = SettleCall(settings, longest_retry_s=longest_retry_s)
        self._script = script("settle")

    def settle(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Publish each parcel once, and enter what became of each event; idempotent by event id and user.

        Args:
            deliveries: what came, message by message.

        Returns:
            One receipt a parcel, in order.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes. Part of a batch may be published;
                calling again completes it.
        """
        receipts: list[Receipt] = []
        for batch in _batches(deliveries):
            with store_errors():
                answer = self.ask(self.arguments(batch))
            receipts += self._call.receipts(answer, _parcels_in(batch))
        return receipts

    def prepare(self, deliveries: Sequence[Delivery]) -> "Settling":
        """Make ready what ``settle`` sends; nothing is asked of Redis before it begins.

        Raises:
            StoreUnavailableError: as for ``settle``.
        """
        return Settling(self, deliveries)

    def arguments(self, batch: Sequence[Delivery]) -> Call:
        """What one call of the script takes."""
        return self._call.arguments(batch)

    def ask(self, arguments: Call) -> Answer:
        """Make one call, and wait for its answer.

        Raises:
            redis.RedisError: it failed.
        """
        ahead = self.ahead(arguments)
        ahead.send()
        return cast("Answer", ahead.answer())

    def ahead(self, arguments: Call) -> PipelinedScriptCall:
        """One call, ready to be sent.

        Raises:
            redis.RedisError: there is no connection.
        """
        return self._script.ahead(self._client, arguments)


class Settling:
    """Deliveries that are about to be settled, or being settled."""

    def __init__(self, settler: Settler, deliveries: Sequence[Delivery]) -> None:
        self._settler = settler
        self._batches = [(settler.arguments(batch), _parcels_in(batch)) for batch in _batches(deliveries)]
        with store_errors():
            self._ahead = settler.ahead(self._batches[0][0]) if self._batches else None
        self._begun = False

    def begin(self) -> None:
        """Ask Redis, and return at once. Idempotent.

        End one before the next begins: the order of two at once is not promised.

        Raises:
            StoreUnavailableError: as for ``Settler.settle``.
        """
        if self._ahead is not None and not self._begun:
            self._begun = True
            with store_errors():
                self._ahead.send()

    def refused(self) -> dict[int, str]:
        """Begin, if it has not begun, and wait for the end.

        Tells only of what Redis refused for good: place of the parcel → Redis' words.
        A receipt costs more than the rest of what is done for an event here.

        Raises:
            StoreUnavailableError: as for ``Settler.settle``.
        """
        self.begin()
        refused: dict[int, str] = {}
        start = 0
        for arguments, parcels in self._batches:
            with store_errors():
                sent, self._ahead = self._ahead, None
                answer = cast("Answer", sent.answer()) if sent is not None else self._settler.ask(arguments)
            refused |= {start + place: words for place, words in SettleCall.refusals(answer).items()}
            start += parcels
        return refused

    def abandon(self) -> None:
        """Wait for nothing: what Redis was asked for may happen or not. After ``refused`` it does nothing."""
        if self._ahead is not None:
            self._ahead.abandon()
            self._ahead = None


def _parcels_in(batch: Sequence[Delivery]) -> int:
    return sum(len(delivery.parcels) for delivery in batch)


def _batches(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """As many deliveries together as one call may take."""
    batch: list[Delivery] = []
    room = BATCH_MAX
    for delivery in deliveries:
        for piece in _pieces(delivery):
            size = len(piece.parcels) + len(piece.skipped)
            if batch and size > room:
                yield batch
                batch, room = [], BATCH_MAX
            batch.append(piece)
            room -= size
    if batch:
        yield batch


def _pieces(delivery: Delivery) -> Iterator[Delivery]:
    """A delivery, cut if it is larger than one call may be. The pieces of one do not end it as a whole."""
    if len(delivery.parcels) + len(delivery.skipped) <= BATCH_MAX:
        yield delivery
        return
    nothing = replace(delivery, record_bytes=0, parcels=(), skipped=(), metrics=())
    for start in range(0, len(delivery.parcels), BATCH_MAX):
        metrics = delivery.metrics if start == 0 else ()
        yield replace(nothing, parcels=delivery.parcels[start : start + BATCH_MAX], metrics=metrics)
    for start in range(0, len(delivery.skipped), BATCH_MAX):
        yield replace(nothing, skipped=delivery.skipped[start : start + BATCH_MAX])
