"""``Pace``: how fast a worker gets messages done, which says how many it may take at once."""

from time import monotonic

SMOOTHING = 0.2
"""Weight of the newest delivery."""


class Pace:
    """Learns from each delivery how long a message takes, waiting in the worker included."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int]] = {}
        self._message_s = 0.0

    def begin(self, tag: str, messages: int) -> None:
        """A delivery of so many messages begins."""
        self._begun[tag] = (monotonic(), messages)

    def end(self, tag: str) -> None:
        """It is done. Unknown tags are ignored."""
        begun = self._begun.pop(tag, None)
        if begun is None:
            return
        message_s = (monotonic() - begun[0]) / begun[1]
        self._message_s += SMOOTHING * (message_s - self._message_s) if self._message_s else message_s

    def forget(self) -> None:
        """Something came that must be taken piece by piece: begin to learn anew."""
        self._message_s = 0.0

    def messages_in(self, seconds: float) -> int:
        """How many messages are done in that time, by experience; 0 without any."""
        return int(seconds / self._message_s) if self._message_s else 0
