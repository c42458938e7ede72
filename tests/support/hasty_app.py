"""A bridge worker in whose pool a moment lasts: a process that leaves looks all the time whether it was heard.

billiard has it look ten times a second. Each look takes a lock, for less than a microsecond; that somebody kills the
process in just that moment is a matter of luck. Here the odds are about one in three.
"""

import time
from typing import Any

import billiard.pool

from bridge.worker import app

__all__ = ["app"]


class _Time:
    """The module ``time``, but for a sleep of no length, which takes no time here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def sleep(seconds: float) -> None:
        if seconds:
            time.sleep(seconds)


billiard.pool.time = _Time()
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL = 0
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10**9
