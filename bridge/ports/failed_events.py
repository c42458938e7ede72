"""Ports of what did not succeed: the retry queue, the dead letters, and the log of what is done to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.dead_letter import LOOK_MAX, Cursor, DeadLetter, Glance, LetterHead, Tombstone
from bridge.model.log_entry import LogEntry
from bridge.model.retry import Attempt, Claim, RetryRecord, WaitingFor, WaitingRetry


class RetryQueue(Protocol):
    """Events that wait for their next attempt, each until it is published, skipped or dead-lettered."""

    def add(
        self,
        waiting: Sequence[tuple[RetryRecord, float]],
        *,
        message_id: str = "",
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> frozenset[str]:
        """Let events wait for the given seconds. Idempotent by event id and attempt.

        Args:
            waiting: events and their waits.
            message_id: that brought them; empty if they were waiting already.
            event_type: type of the events, for the metrics.
            only_unfinished: leave alone what has ended meanwhile.

        Returns:
            The ids that found no room (``Settings.retry_max``); they do not wait.
        """

    def claim(self) -> Claim:
        """Take what is due, oldest first, for a lease: until it ends, no other worker gets the same."""

    def confirm(self, claim: Claim) -> None:
        """Say that the claimed retries are back on their queue. Idempotent.

        They stay until they are settled, and are due again much later, in case the broker loses the message. One that
        has failed again meanwhile keeps its own time.
        """

    def history(self, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts so far of those events that wait."""

    def unfinished(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Which of the events wait, or are being tried again."""

    def count(self) -> int:
        """How many events wait, or are being tried again."""

    def in_order(self, behind: tuple[float, str] | None = None) -> Iterator[WaitingRetry]:
        """All retries in the order of due time and id, behind a ``WaitingRetry.place``; what moves on may be missed."""

    def by_queue(self, *, thorough: bool = False) -> Sequence[WaitingFor]:
        """How many events wait for which task on which queue: of those due next, or of all within bounds."""

    def make_due(self, event_ids: Sequence[str]) -> Sequence[str]:
        """Have events tried at once; returns those that were not being tried already. Idempotent."""

    def take(self, event_ids: Sequence[str]) -> Sequence[RetryRecord]:
        """Take events that wait as ``claim`` would, due or not; they come back after its lease."""


class DeadLetters(Protocol):
    """What did not succeed by itself, kept for a person within bounds; in the order of burial."""

    def bury(
        self,
        letters: Sequence[DeadLetter],
        *,
        message_id: str = "",
        whole: bool = False,
        part: Sequence[str] | None = None,
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> int:
        """Keep letters and end the retries of their events. Idempotent by letter id.

        Args:
            letters: to keep.
            message_id: that brought them; empty if they came from elsewhere.
            whole: there is one letter, and it holds the whole message.
            part: with ``whole``: the message was taken apart, and the letter holds these events of it only.
            event_type: type of the events, for the metrics; empty if unknown.
            only_unfinished: leave alone what has ended meanwhile.

        Returns:
            How many of the oldest letters were evicted to stay within the bounds; that is logged.
        """

    def get_many(self, letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """The dead letters that exist and that this release can decode."""

    def history(self, letter_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        """The failed attempts of the letters that exist; none of one that this release cannot decode."""

    def heads(
        self, *, newest_first: bool = False, between_ms: tuple[int, int], conditions: Sequence[Sequence[str]] = ()
    ) -> Iterator[LetterHead]:
        """What a search looks at, of all letters; one that is dead-lettered again meanwhile may be missed.

        Args:
            newest_first: the order of burial.
            between_ms: earliest and latest burial, in ms of the store's time.
            conditions: each is a choice of texts, one of which must occur in the head's JSON.
        """

    def look(
        self,
        *,
        cursor: Cursor | None = None,
        newest_first: bool = True,
        between_ms: tuple[int, int],
        conditions: Sequence[Sequence[str]] = (),
        take: int = LOOK_MAX,
    ) -> Glance:
        """Look at up to LOOK_MAX letters behind a cursor, which stays valid while letters come and go.

        Args:
            cursor: of the look before; None to begin.
            newest_first: the order of burial.
            between_ms: as for ``heads``.
            conditions: as for ``heads``.
            take: letters to return at most.
        """

    def span_ms(self) -> tuple[int, int]:
        """When the first and the last letter were buried, in ms of the store's time; 0 and 0 if there is none."""

    def discard(self, tombstones: Sequence[Tombstone], *, redrive: str = "") -> tuple[int, int]:
        """Give up letters for good; idempotent.

        Args:
            tombstones: what is to be left of each letter.
            redrive: which gives them up; empty if a person does.

        Returns:
            How many are gone now, and how many were left alone because another redrive has sent them.
        """

    def count(self) -> int:
        """How many letters there are."""


class OperationsLog(Protocol):
    """Who did what to which letters and retries, when and why; bounded, and the newest are kept."""

    def append(self, entry: LogEntry) -> None:
        """Write one entry, at the time of the store. Not idempotent."""

    def newest(self, limit: int = 100) -> list[LogEntry]:
        """The newest entries, newest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What there is of an event."""

    now_ms: float  # Redis time
    waits: bool  # whether it waits for its next attempt
    retry: RetryRecord | None  # with every failed attempt; None if none waits, or it cannot be read
    due_ms: float | None  # when it is put on its queue, in ms of Redis time; None if that is forgotten
    letter: DeadLetter | None  # the dead letter that it is
    skipped_ms: int | None  # when it had no recipient
    tombstone: Tombstone | None  # what is left of its discarded letter

    @property
    def waiting(self) -> WaitingRetry | None:
        """The retry with its place in the queue; None if none waits there, or it cannot be read."""
        if self.retry is None or self.due_ms is None:
            return None
        return WaitingRetry(record=self.retry, due_ms=int(self.due_ms), taken=self.due_ms % 1 != 0)


class KeptEvents(Protocol):
    """What is kept by an event's own id."""

    def look_up(self, event_id: str) -> Kept:
        """Everything of one moment."""
