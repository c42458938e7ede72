"""What a redrive is: its states, how far it is, and what becomes of its letters."""

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec


class RedriveState(StrEnum):
    """Where a redrive stands."""

    BUILDING = "building"
    """The snapshot is being taken."""
    READY = "ready"
    """The snapshot is taken, and no process runs it."""
    RUNNING = "running"
    """A process runs it, or died over it: see ``RedriveStatus.owner``."""
    PAUSED = "paused"
    """A person stopped it."""
    STOPPED = "stopped"
    """It stopped itself: too many failures."""
    STALLED = "stalled"
    """No outcome came for long."""
    DONE = "done"
    """Each letter of the snapshot has been dealt with."""


class RedriveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a redrive is. ``total = pending + sent + left out``; ``sent = succeeded + failed + under way``."""

    redrive_id: str = msgspec.field(name="replay_id")
    state: RedriveState
    selection: dict[str, Any]  # which letters, as ``Selection.as_dict``
    who: str
    created_ms: int
    rate: float = 0  # events a second at most; 0 for no limit
    canary: int = 0  # letters that are sent first and watched; 0 for none
    canary_sent: int = 0
    max_failures: float | None = None  # share of failures above which it stops itself; None for never
    total: int = 0  # letters in the snapshot
    pending: int = 0  # not sent yet
    sent: int = 0  # put on their queues
    under_way: int = 0  # sent, and no outcome yet
    # Published, or recognised as published before, or had no recipient; of a letter that held a whole message: a worker
    # has run it.
    succeeded: int = 0
    failed: int = 0  # died again; they are dead letters with one attempt more
    stale: int = 0  # discarded by their mapping's rule
    unsendable: int = 0  # left alone: no message of events, or no mapping
    undecided: int = 0  # left alone: whether a newer event supersedes them cannot be told, as their extractor fails
    busy: int = 0  # left alone: another redrive has sent them
    gone: int = 0  # were not there any more when their turn came
    reason: str = ""  # why it stands still; empty while it does not
    owner: str = ""  # the process that runs it; empty if none does

    @property
    def finished(self) -> int:
        """Letters of which nothing more will come."""
        return self.total - self.pending - self.under_way

    def numbers(self) -> dict[str, int]:
        """What came of it, for the log."""
        names = ("total", "succeeded", "failed", "stale", "unsendable", "undecided", "busy", "gone", "pending")
        return {name: getattr(self, name) for name in names}


class RedriveRecord(NamedTuple):
    """How far a redrive is, whether a living process runs it, and whether that was asked to pause it; of one moment."""

    status: RedriveStatus
    is_leased: bool
    stop_asked: bool


class Outcomes(NamedTuple):
    """How many letters of a look succeeded, how many failed, and how many have no outcome yet."""

    succeeded: int
    failed: int
    in_flight: int
