"""``RateLimiter``: how many letters may be sent now, and when a redrive must stop: window, rate, canary, brake."""

import time
from collections import deque
from collections.abc import Callable

from bridge.model.redrive import RedriveStatus

WINDOW = 4000
"""Letters that are sent and have no outcome yet, at most: what a stop cannot call back."""
WINDOW_MIN = 50
"""Letters under way to begin with, and for each second without any outcome."""
BACKLOG_S = 0.5
"""How much work may stand on the queues, at the pace of the outcomes: new events wait behind it."""
MEASURED_S = 1.0
"""The pace is that of the last second."""
MEASURED_MIN_S = 0.05
STEP = 1000
"""Letters read and sent in one go."""
BRAKE_MIN = 50
"""Outcomes before the failure rate of a redrive without a canary means anything."""
BURST_S = 0.2
"""What a rate allows at once, after a pause."""


class RateLimiter:
    """Keeps one process's run of a redrive to what was asked for.

    Args:
        base: how far the redrive was when this run began: what failed before, a person has seen.
        clock: monotonic, in s.
    """

    def __init__(self, base: RedriveStatus, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._clock = clock
        self._allowance = 0.0
        self._allowed_at = clock()
        self._course = deque([(self._allowed_at, 0)])

    def brake(self, status: RedriveStatus) -> str:
        """Why the redrive must stop; empty if it need not."""
        if status.max_failures is None:
            return ""
        failed, finished = status.failed - self._base.failed, self._outcomes(status)
        # While the canary is out, its own size counts: what cannot be made good any more need not be awaited.
        if failed > status.max_failures * max(finished, status.canary or BRAKE_MIN):
            return f"{failed} of {finished} failed again; the limit is {status.max_failures:.0%}."
        return ""

    def room(self, status: RedriveStatus) -> int:
        """How many letters may be sent now."""
        room = min(self._window(status) - status.under_way, STEP, status.pending)
        if status.canary_sent < status.canary:
            room = min(room, status.canary - status.canary_sent)
        elif self._awaits_canary(status):
            return 0
        if status.rate:
            room = min(room, self._allowed(status.rate))
        return max(0, room)

    def spend(self, events: int) -> None:
        """Note how many events were sent."""
        self._allowance -= events

    def is_spent(self, status: RedriveStatus) -> bool:
        """Whether the rate forbids to send any more at present."""
        return bool(status.rate) and self._allowance <= 0

    def _window(self, status: RedriveStatus) -> int:
        """Letters that may be under way: many if the workers are fast, few if an extractor is slow."""
        now, outcomes = self._clock(), self._outcomes(status)
        if outcomes != self._course[-1][1]:
            self._course.append((now, outcomes))
        while len(self._course) > 1 and now - self._course[1][0] >= MEASURED_S:
            self._course.popleft()
        since, before = self._course[0]
        per_s = (outcomes - before) / max(now - since, MEASURED_MIN_S)
        # Letters of a queue that no worker consumes must not hold up the letters of other queues forever.
        silent_s = now - self._course[-1][0]
        return round(min(WINDOW, max(per_s * BACKLOG_S, WINDOW_MIN * (1 + int(silent_s)))))

    def _awaits_canary(self, status: RedriveStatus) -> bool:
        missing = self._outcomes(status) < min(status.canary, status.total)
        return bool(status.canary) and missing and bool(status.under_way)

    def _outcomes(self, status: RedriveStatus) -> int:
        return status.failed + status.succeeded - self._base.failed - self._base.succeeded

    def _allowed(self, rate: float) -> int:
        now = self._clock()
        self._allowance = min(self._allowance + rate * (now - self._allowed_at), max(1.0, rate * BURST_S))
        self._allowed_at = now
        return int(self._allowance)
