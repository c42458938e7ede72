"""``MemoryRights`` and ``MemoryTickets``: the twins of the record of withdrawn rights, and of one-use tickets."""

from collections.abc import Sequence

from bridge.model.bounds import TICKETS_PER_USER_MAX, WITHDRAWN_MAX
from bridge.model.withdrawal import TICKET_S, Withdrawal, Withdrawals
from bridge.ports import Issued, Told
from bridge.testing.live_channel import MemoryChannels
from bridge.testing.state import State, Twin


class MemoryRights(Twin):
    """Satisfies ``bridge.ports.RightsRecord`` and ``WithdrawnRights``."""

    def __init__(self, state: State, channels: MemoryChannels) -> None:
        super().__init__(state)
        self._channels = channels
        self._marks = state.withdrawn

    @property
    def channel(self) -> str:
        return self._channels.CONTROL_CHANNEL

    def withdraw(self, target: str) -> Told:
        now_ms = self._state.clock.now_ms()
        self._marks.pop(target, None)
        self._marks[target] = mark = Withdrawal(target, now_ms)
        oldest_ms = now_ms - self._state.settings.disconnect_ttl_s * 1000
        for expired in [one.target for one in self._marks.values() if one.at_ms <= oldest_ms]:
            del self._marks[expired]
        evicted = max(0, len(self._marks) - WITHDRAWN_MAX)
        for oldest in list(self._marks)[:evicted]:
            del self._marks[oldest]
        return Told(gateways=self._channels.publish(self.channel, mark.write()), evicted=evicted)

    def end_streams(self, target: str) -> int:
        order = Withdrawal(target, self._state.clock.now_ms(), lasts=False)
        return self._channels.publish(self.channel, order.write())

    async def read(self) -> Withdrawals:
        return Withdrawals(tuple(self._marks.values()), self._state.clock.now_ms())


class MemoryTickets(Twin):
    """Satisfies ``bridge.ports.Tickets``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._kept: dict[str, tuple[bytes, int]] = {}  # by digest, and until when
        self._issued: dict[str, tuple[int, int]] = {}  # how many a user has got, and until when they are counted

    async def issue(self, digest: str, user: str, record: bytes, *, age_ms: int, targets: Sequence[str]) -> Issued:
        now_ms = self._state.clock.now_ms()
        marks = [self._state.withdrawn[target].at_ms for target in targets if target in self._state.withdrawn]
        withdrawn_ms = now_ms - max(marks) if marks else None
        issued, until_ms = self._issued.get(user, (0, 0))
        if until_ms <= now_ms:
            issued, until_ms = 0, now_ms + TICKET_S * 1000
        if issued >= TICKETS_PER_USER_MAX:
            return Issued(kept=False, withdrawn_ms=withdrawn_ms)
        self._issued[user] = (issued + 1, until_ms)
        self._kept[digest] = (b"%d %s" % (now_ms - age_ms, record), now_ms + TICKET_S * 1000)
        return Issued(kept=True, withdrawn_ms=withdrawn_ms)

    async def take(self, digest: str) -> bytes | None:
        record, until_ms = self._kept.pop(digest, (b"", 0))
        return record if until_ms > self._state.clock.now_ms() else None
