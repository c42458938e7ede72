"""What became of events, as tests ask for it: values and sentences, over the ports that operators have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bridge.model.pipeline.failure import Failure
from bridge.model.plain_text import one_line
from bridge.model.retry import Attempt
from bridge.ports import Store

SHOWN_MAX = 20
"""Events that the text of a failure shows at most."""
SCANNED_MAX = 10_000
"""Dead letters that are looked at, the newest first."""
ALL_TIMES_MS = (0, 2**53)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """An event that waits for another attempt, or is dead-lettered."""

    event_id: str  # a UUID
    event_class: str  # its name, without the module
    attempts: int  # so many have failed
    error_class: str  # of the last one: ``ValueError``, ``shop.CarrierAwayError``
    message: str  # what it said, secrets masked
    stage: str  # where: ``extract``, ``decode``, ``encode``, ``publish``, ``worker``, ``message``

    @property
    def why(self) -> str:
        """In words."""
        said = f": {one_line(self.message)}" if self.message else ""
        return f"{self.error_class} at stage {self.stage}{said}"

    def __str__(self) -> str:
        return f"{self.event_class} {self.event_id} after attempt {self.attempts} ({self.why.rstrip('.')})"


class Outcomes:
    """The ends of events in one store.

    Args:
        store: the ports to look through.
        since_ms: dead letters from before are another test's.
    """

    def __init__(self, store: Store, since_ms: int = 0) -> None:
        self._store, self._since_ms = store, since_ms

    @property
    def dead_letters(self) -> list[Failed]:
        """The oldest first."""
        look = self._store.dead_letters.look(
            newest_first=False, between_ms=(self._since_ms, ALL_TIMES_MS[1]), take=SCANNED_MAX
        )
        letters = [found.letter for found in look.found if found.letter is not None]
        return [_failed(one.letter_id, one.task, one.attempts, one.failure) for one in letters]

    @property
    def retries(self) -> list[Failed]:
        """What waits for another attempt, by when that is due."""
        records = [waiting.record for waiting in self._store.retries.in_order()]
        return [_failed(one.event_id, one.task, one.attempts, one.attempts[-1].failure) for one in records]

    def end_of(self, event_id: str) -> str:
        """What became of an event, in words."""
        kept = self._store.kept.look_up(event_id)
        if kept.letter is not None:
            letter = kept.letter
            return f"dead-lettered {_after(_failed(event_id, letter.task, letter.attempts, letter.failure))}"
        if kept.retry is not None:
            record = kept.retry
            failed = _failed(event_id, record.task, record.attempts, record.attempts[-1].failure)
            return f"waits for attempt {failed.attempts + 1} {_after(failed)}"
        if kept.skipped_ms is not None:
            return "skipped: its mapping names no recipient"
        if event_id in self._store.published.published([event_id]):
            told = [one.address for one in self._store.published.find(UUID(event_id))]
            return f"published to {', '.join(told) or 'its addresses'}"
        return "on its way" if self._store.accounting.holding(UUID(event_id)) else "not known to the store"

    def listed(self, accepted: Iterable[tuple[str, str]]) -> str:
        """What became of accepted events, each with its class, a line each."""
        lines = [f"{name} {event_id}: {self.end_of(event_id)}" for name, event_id in accepted]
        shown = [f"  {number}. {line}" for number, line in enumerate(lines[:SHOWN_MAX], 1)]
        if len(lines) > SHOWN_MAX:
            shown.append(f"  … and {len(lines) - SHOWN_MAX} more")
        return "\n".join(["Emitted:", *shown]) if shown else "Nothing was emitted."


def only(failed: Sequence[Failed], event_class: type[Any], what: str, told: str) -> Failed:
    """The one of a class.

    Raises:
        AssertionError: there is none, or more than one.
    """
    __tracebackhide__ = True
    found = [one for one in failed if one.event_class == event_class.__name__]
    if len(found) != 1:
        raise AssertionError(f"One {event_class.__name__} was to be {what}, not {len(found)}.\n{told}")
    return found[0]


def _after(failed: Failed) -> str:
    return f"after attempt {failed.attempts}: {failed.why}"


def _failed(event_id: str, task: str, attempts: Sequence[Attempt], failure: Failure) -> Failed:
    return Failed(
        event_id=event_id,
        event_class=task.rpartition(".")[2],
        attempts=attempts[-1].number if attempts else 0,
        error_class=failure.error_class,
        message=failure.message,
        stage=failure.stage.value,
    )
