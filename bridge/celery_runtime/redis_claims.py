"""What a worker has claimed of a Redis broker (``ClaimingQoS``), and how much that may be (``ThroughputEstimator``)."""

from collections import deque
from collections.abc import Collection
from operator import itemgetter
from time import monotonic
from typing import Any

from kombu.transport import redis as stock
from kombu.transport import virtual

from bridge.redis_adapter.kombu_support import BREAKS

RESTORE_INTERVAL_S = 1.0
"""A worker looks for abandoned messages at most this often."""
RENEWALS_PER_TIMEOUT = 3
"""How often a living worker renews its claims within one visibility timeout."""


class ClaimingQoS(stock.QoS):
    """Keeps track of claimed messages; all times are Redis', never this machine's."""

    #: Whether an acknowledgement waits for no other: the worker ends.
    at_once = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acknowledged: deque[str] = deque()
        self._renewed_at = monotonic()
        self._restored_at = float("-inf")

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message; the claim has already written it down."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge with the next batch. If that never happens, the message is delivered again."""
        self._acknowledged.append(delivery_tag)
        self.channel.pace.end(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if self.channel.closed or self.at_once:
            # The connection was lost while the task ran, or the worker ends: this channel is not polled any more.
            self.flush_acknowledgements()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put the message back, or drop it."""
        if requeue:
            self.channel.give_back([delivery_tag])
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def flush_acknowledgements(self) -> None:
        """Write down what was acknowledged since the last time."""
        tags = []
        while self._acknowledged:
            tags.append(self._acknowledged.popleft())
        if tags:
            try:
                self.channel.forget(tags)
            except BREAKS:
                # Once more over the next connection; until then a message that is done may not be given back.
                self._acknowledged.extendleft(reversed(tags))
                raise

    @property
    def held(self) -> Collection[str]:
        """What was delivered and is not acknowledged."""
        self._flush()
        return tuple(self._delivered)

    @property
    def holds_any(self) -> bool:
        """Whether anything is still to be acknowledged, or to be written down as acknowledged."""
        return bool(self.held or self._acknowledged)

    def leave(self, running: Collection[str]) -> list[str]:
        """Forget what is held, but for what still runs; returns what is forgotten."""
        tags = [tag for tag in self.held if tag not in running]
        for tag in tags:
            del self._delivered[tag]
        return tags

    def restore_unacked(self, client: Any = None) -> list[Any]:  # noqa: ARG002  (kombu's signature)
        """Put back what this channel holds: an orderly end, no death. What the pool still runs it keeps."""
        self.give_back_but(self.channel.running())
        return []

    def give_back_but(self, running: Collection[str]) -> None:
        """Put back what this channel holds, but for what runs."""
        tags = [tag for tag in self.held if tag not in running]
        if tags:
            self.channel.give_back(tags)
            self.leave(running)

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:  # noqa: ARG002
        """Put back what other workers left behind; renew our own claims, so that no other worker puts them back."""
        self.flush_acknowledgements()
        self._flush()
        if monotonic() - self._renewed_at >= self.visibility_timeout / RENEWALS_PER_TIMEOUT:
            self._renewed_at = monotonic()
            if self._delivered:
                self.channel.renew(list(self._delivered))
            self.channel.renew_predecessors()
        if monotonic() - self._restored_at >= RESTORE_INTERVAL_S:
            self._restored_at = monotonic()
            self.channel.restore_abandoned(self.visibility_timeout)


SMOOTHING = 0.2
"""Weight of the newest delivery."""
GROW_AFTER = 4
"""After so many deliveries in a row that were done in time, one may be a quarter larger than experience says: what a
delivery takes by itself, on a busy machine most of it, shows only in a larger one."""


class ThroughputEstimator:
    """Learns from each delivery how long a message and an event take, waiting in the worker included."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int, int]] = {}
        self._message_s = 0.0
        self._event_s = 0.0
        self._newest: deque[tuple[float, int, int]] = deque(maxlen=GROW_AFTER)

    def begin(self, tag: str, messages: int, events: int) -> None:
        """A delivery of so much begins."""
        self._begun[tag] = (monotonic(), messages, events)

    def end(self, tag: str) -> None:
        """It is done. Unknown tags are ignored."""
        begun = self._begun.pop(tag, None)
        if begun is not None:
            began_at, messages, events = begun
            took_s = monotonic() - began_at
            self._newest.append((took_s, messages, events))
            self._message_s = _smoothed(self._message_s, took_s / messages)
            self._event_s = _smoothed(self._event_s, took_s / events)

    def forget(self) -> None:
        """Something came that must be taken piece by piece: begin to learn anew."""
        self._message_s = self._event_s = 0.0
        self._newest.clear()

    def messages_in(self, seconds: float, *, events_max: int) -> int:
        """How many messages are done in that time, and have no more events, by experience; 0 without any."""
        if not self._message_s:
            return 0
        by_experience = int(min(seconds, events_max * self._event_s) / self._message_s)
        messages, events = self._larger(seconds)
        return max(by_experience, messages if events <= events_max else 0)

    def events_in(self, seconds: float) -> int:
        """How many events are done in that time, by experience; 0 without any."""
        return max(int(seconds / self._event_s), self._larger(seconds)[1]) if self._event_s else 0

    def _larger(self, seconds: float) -> tuple[int, int]:
        """Messages and events of a delivery that is a little larger than the newest, if all were done in that time."""
        if len(self._newest) < GROW_AFTER or max(took_s for took_s, _, _ in self._newest) > seconds:
            return 0, 0
        _, messages, events = max(self._newest, key=itemgetter(2))
        larger = messages + max(1, messages // 4)
        return larger, events * larger // messages


def _smoothed(before: float, newest: float) -> float:
    return before + SMOOTHING * (newest - before) if before else newest
