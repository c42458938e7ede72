"""What a redrive is: its states, and how far it is."""

from enum import StrEnum
from typing import Any

import msgspec

from bridge.operations.selection import Selection

MAX_FAILURES_DEFAULT = 0.1
"""Share of failures above which a redrive with a canary stops itself."""


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
    """How far a redrive is. ``total = pending + sent + left out``; ``sent = succeeded + failed + under way``.

    Attributes:
        redrive_id: id of the redrive.
        state: see RedriveState.
        selection: which letters, as ``Selection.as_dict``.
        who: began it.
        created_ms: when.
        rate: events a second at most; 0 for no limit.
        canary: letters that are sent first and watched; 0 for none.
        max_failures: share of failures above which it stops itself; None for never.
        total: letters in the snapshot.
        pending: not sent yet.
        sent: put on their queues.
        under_way: sent, and no outcome yet.
        succeeded: published, or recognised as published before, or had no recipient; of a letter that
            held a whole message: a worker has run it.
        failed: died again; they are dead letters with one attempt more.
        stale: discarded by their mapping's rule.
        unsendable: left alone: no message of events, or no mapping.
        undecided: left alone: whether a newer event supersedes them cannot be told, as their extractor fails.
        busy: left alone: another redrive has sent them.
        gone: were not there any more when their turn came.
        reason: why it stands still; empty while it does not.
        owner: the process that runs it; empty if none does.
    """

    redrive_id: str = msgspec.field(name="replay_id")
    state: RedriveState
    selection: dict[str, Any]
    who: str
    created_ms: int
    rate: float = 0
    canary: int = 0
    canary_sent: int = 0
    max_failures: float | None = None
    total: int = 0
    pending: int = 0
    sent: int = 0
    under_way: int = 0
    succeeded: int = 0
    failed: int = 0
    stale: int = 0
    unsendable: int = 0
    undecided: int = 0
    busy: int = 0
    gone: int = 0
    reason: str = ""
    owner: str = ""

    @property
    def chosen(self) -> Selection:
        """Which letters."""
        return Selection.from_dict(self.selection)

    @property
    def finished(self) -> int:
        """Letters of which nothing more will come."""
        return self.total - self.pending - self.under_way

    def numbers(self) -> dict[str, int]:
        """What came of it, for the log."""
        names = ("total", "succeeded", "failed", "stale", "unsendable", "undecided", "busy", "gone", "pending")
        return {name: getattr(self, name) for name in names}
