"""``ThroughputEstimator``: how fast a worker gets things done, which says how much it may take at once."""

from time import monotonic

SMOOTHING = 0.2
"""Weight of the newest delivery."""


class ThroughputEstimator:
    """Learns from each delivery how long a message and an event take, waiting in the worker included."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int, int]] = {}
        self._message_s = 0.0
        self._event_s = 0.0

    def begin(self, tag: str, messages: int, events: int) -> None:
        """A delivery of so much begins."""
        self._begun[tag] = (monotonic(), messages, events)

    def end(self, tag: str) -> None:
        """It is done. Unknown tags are ignored."""
        begun = self._begun.pop(tag, None)
        if begun is not None:
            began_at, messages, events = begun
            took_s = monotonic() - began_at
            self._message_s = _smoothed(self._message_s, took_s / messages)
            self._event_s = _smoothed(self._event_s, took_s / events)

    def forget(self) -> None:
        """Something came that must be taken piece by piece: begin to learn anew."""
        self._message_s = self._event_s = 0.0

    def messages_in(self, seconds: float, *, events_max: int) -> int:
        """How many messages are done in that time, and have no more events, by experience; 0 without any."""
        return int(min(seconds, events_max * self._event_s) / self._message_s) if self._message_s else 0

    def events_in(self, seconds: float) -> int:
        """How many events are done in that time, by experience; 0 without any."""
        return int(seconds / self._event_s) if self._event_s else 0


def _smoothed(before: float, newest: float) -> float:
    return before + SMOOTHING * (newest - before) if before else newest
