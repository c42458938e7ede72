"""``MemoryRights``: the twin of both sides of the record of withdrawn rights."""

from bridge.model.bounds import WITHDRAWN_MAX
from bridge.model.withdrawal import Withdrawal, Withdrawals
from bridge.ports import Told
from bridge.testing.live_channel import MemoryChannels
from bridge.testing.state import State, Twin


class MemoryRights(Twin):
    """Satisfies ``bridge.ports.RightsRecord`` and ``WithdrawnRights``."""

    def __init__(self, state: State, channels: MemoryChannels) -> None:
        super().__init__(state)
        self._channels = channels
        self._marks: dict[str, Withdrawal] = {}

    @property
    def channel(self) -> str:
        return self._channels.CONTROL_CHANNEL

    def withdraw(self, target: str) -> Told:
        now_ms = self._state.clock.now_ms()
        self._marks.pop(target, None)
        self._marks[target] = mark = Withdrawal(target, now_ms)
        oldest_ms = now_ms - self._state.settings.disconnect_ttl_s * 1000
        self._marks = {one.target: one for one in self._marks.values() if one.at_ms > oldest_ms}
        evicted = max(0, len(self._marks) - WITHDRAWN_MAX)
        for oldest in list(self._marks)[:evicted]:
            del self._marks[oldest]
        return Told(gateways=self._channels.publish(self.channel, mark.write()), evicted=evicted)

    async def read(self) -> Withdrawals:
        return Withdrawals(tuple(self._marks.values()), self._state.clock.now_ms())
