"""``StoreClock``: what time it is by Redis, so that a machine whose own clock is wrong writes no wrong time down."""

from datetime import UTC, datetime
from time import monotonic

import redis

from bridge.redis_adapter.client import store_errors

ASK_AGAIN_S = 10.0
"""Redis is asked this often; in between time is counted on, by a monotonic clock."""


class StoreClock:
    """``bridge.ports.Clock`` by Redis, for one small command in ``ASK_AGAIN_S``. For threads and forked processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._asked: tuple[float, float] | None = None

    def now_s(self) -> float:
        """Seconds since the epoch, right to within half a round trip."""
        asked = self._asked
        if asked is None or monotonic() - asked[0] >= ASK_AGAIN_S:
            asked = self._asked = self._ask()
        return asked[1] + monotonic() - asked[0]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s(), UTC)

    def now_ms(self) -> int:
        with store_errors():
            seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _ask(self) -> tuple[float, float]:
        """The same moment on the monotonic clock and on Redis'."""
        begun = monotonic()
        with store_errors():
            seconds, microseconds = self._client.time()
        return (begun + monotonic()) / 2, seconds + microseconds / 1e6
