"""Rights that were withdrawn, as one gateway process knows them: what it heard, and read whenever it connected."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from bridge.gateway.authenticator import Principal
from bridge.model.bounds import WITHDRAWN_MAX
from bridge.model.counting import Counters
from bridge.model.plain_text import plain_logger
from bridge.model.withdrawal import read_order, session_target, user_target
from bridge.ports import WithdrawnRights

logger = plain_logger(__name__)

ENDED_S = 60.0
"""How long an order that does not last is known: longer than it takes to open a stream that was asked for before."""
WITHDRAWN = "Your right to listen was withdrawn; sign in again, and show what you are given then."


@dataclass(frozen=True, slots=True)
class Admission:
    """A principal, and since when it is one."""

    principal: Principal
    asked_at: float  # monotonic seconds, from before the authenticator was asked
    targets: tuple[str, ...]  # what to withdraw to end it; none of an operator

    @classmethod
    def of(cls, principal: Principal, asked_at: float) -> "Admission":
        """Of whoever came by an authenticator."""
        session = (session_target(principal.session),) if principal.session else ()
        return cls(principal, asked_at, (user_target(principal.user), *session))

    def was_before(self, withdrawn_ms: int | None) -> bool:
        """Whether it is older than a disconnect so many ms ago; None: there was none."""
        return withdrawn_ms is not None and self.asked_at <= time.monotonic() - withdrawn_ms / 1000


class _Mark(NamedTuple):
    at_s: float  # the end of the ms of Redis' clock in which it was withdrawn; issuers' clocks are compared with it
    at: float  # the same in monotonic seconds of this process, or a little later


class KnownWithdrawals:
    """What was withdrawn, while it counts.

    Args:
        rights: the record.
        ttl_s: how long a withdrawal counts.
        counters: count what is malformed.
        on_news: called after each change.
    """

    def __init__(
        self, rights: WithdrawnRights, *, ttl_s: float, counters: Counters, on_news: Callable[[], None]
    ) -> None:
        self.channel = rights.channel
        self._rights = rights
        self._ttl_s = ttl_s
        self._counters = counters
        self._on_news = on_news
        self._marks: dict[str, _Mark] = {}
        self._ended: dict[str, float] = {}  # when, the oldest first; apart from the marks, which it must not push out

    async def load(self) -> None:
        """Read the record: what was said while nothing was heard stands there."""
        found = await self._rights.read()
        now = time.monotonic()
        for mark in found.marks:
            age_s = max(0, found.now_ms - mark.at_ms) / 1000  # clocks may disagree after a fail-over
            self._note(mark.target, _Mark((mark.at_ms + 1) / 1000, now - age_s))
        self._on_news()

    def hear(self, message: bytes) -> None:
        """Take what the control channel says."""
        try:
            order = read_order(message)
        except ValueError:
            self._counters.messages_malformed += 1
            logger.warning("bridge.gateway.message_ignored channel=%s bytes=%d", self.channel, len(message))
            return
        if order.lasts:
            self._note(order.target, _Mark((order.at_ms + 1) / 1000, time.monotonic()))
        else:
            self._note_end(order.target, time.monotonic())
        self._on_news()

    def refuses(self, admission: Admission) -> bool:
        """Whether it was granted before its user or its session was disconnected.

        Granted is what the authenticator was asked for before; and what says of itself that it was issued before,
        whenever it is shown.
        """
        return any(self._is_older(admission, self._marks[one]) for one in admission.targets if one in self._marks)

    def outdates(self, admission: Admission) -> bool:
        """Whether it was asked for before an order that does not last: it is to be asked for again."""
        return any(admission.asked_at <= self._ended.get(one, -math.inf) for one in admission.targets)

    def _is_older(self, admission: Admission, mark: _Mark) -> bool:
        if time.monotonic() - mark.at > self._ttl_s:
            return False
        issued_at = admission.principal.issued_at
        return admission.asked_at <= mark.at or (issued_at is not None and issued_at < mark.at_s)

    def _note_end(self, target: str, now: float) -> None:
        self._ended.pop(target, None)
        self._ended[target] = now
        oldest = next(iter(self._ended))
        while len(self._ended) > WITHDRAWN_MAX or self._ended[oldest] < now - ENDED_S:
            del self._ended[oldest]
            oldest = next(iter(self._ended))

    def _note(self, target: str, mark: _Mark) -> None:
        known = self._marks.pop(target, mark)
        self._marks[target] = max(known, mark)
        while len(self._marks) > WITHDRAWN_MAX:
            del self._marks[next(iter(self._marks))]
