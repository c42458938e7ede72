"""What Redis or the broker refuses this worker for good: noted when a message goes back, told by the heartbeat."""

from time import monotonic

FRESH_S = 120.0
"""A refusal is told for so long after a message went back over it, or until one is done."""
TEXT_MAX = 500


class Refusals:
    """The newest refusal. Safe with threads: a look and a note are one step each."""

    def __init__(self) -> None:
        self._newest: tuple[float, str] | None = None

    def note(self, sentence: str) -> None:
        """A message went back, because this was refused."""
        self._newest = (monotonic(), sentence[:TEXT_MAX])

    def clear(self) -> None:
        """A message is done: nothing is refused any more."""
        self._newest = None

    @property
    def sentence(self) -> str:
        """What is refused; empty if nothing is."""
        newest = self._newest
        return newest[1] if newest is not None and monotonic() - newest[0] < FRESH_S else ""


refusals = Refusals()
"""Of this process: a worker's main process sees every message of its pool go back."""
