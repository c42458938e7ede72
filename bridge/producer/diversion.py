"""``Diversion``: what takes events instead of the broker and Redis while a test looks; see ``bridge.testing``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from bridge.producer.batching import Written
from bridge.producer.lifetime import emitters


class Diversion(Protocol):
    """Told on the thread of whoever emits; it must not raise."""

    def written(self, entry: Written, stands: Callable[[], bool] | None = None) -> None:
        """An emitter accepted an event; ``stands`` says whether its transaction may commit it, or has."""

    def handled(self, event: Any) -> None:
        """An ``SSEEventHandler`` would have published an event, or found no recipient."""

    def note_refused(self, event: Any, reason: str) -> None:
        """An event was not accepted, for a reason in one sentence."""


_diversions: list[Diversion] = []


def diversion() -> Diversion | None:
    """The one that was begun last; None in every process but a test's."""
    return _diversions[-1] if _diversions else None


@contextmanager
def divert(to: Diversion) -> Iterator[None]:
    """Have every event of this process go there, from all threads and emitters. The innermost takes all."""
    _diversions.append(to)
    _tell_emitters()
    try:
        yield
    finally:
        _diversions[:] = [one for one in _diversions if one is not to]
        _tell_emitters()


_of_outboxes: list[Diversion] = []


def outbox_diversion() -> Diversion | None:
    """What is shown the events of outboxes, instead of a table: a capture, or else a bridge that is under test."""
    if (test := diversion()) is not None:  # which may be falsy, as one that was shown nothing yet
        return test
    return _of_outboxes[-1] if _of_outboxes else None


@contextmanager
def divert_outboxes(to: Diversion) -> Iterator[None]:
    """Have the events of outboxes alone go there; no outbox is drained meanwhile."""
    _of_outboxes.append(to)
    try:
        yield
    finally:
        _of_outboxes[:] = [one for one in _of_outboxes if one is not to]


def is_under_test() -> bool:
    """Whether a bridge under test stands in for the real one, whoever captures events within."""
    return bool(_of_outboxes)


def _tell_emitters() -> None:
    for emitter in emitters():
        emitter.divert(diversion() is not None)
