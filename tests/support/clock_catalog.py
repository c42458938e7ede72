"""The built-in catalog in a worker whose main thread SIGWINCH holds up, as a deadlock in its loop would."""

import os
import signal
import time
from types import FrameType

from bridge.registry.builtin import registry

__all__ = ["registry"]


def _stand_still(_number: int, _frame: FrameType | None) -> None:
    time.sleep(float(os.environ.get("STAND_STILL_S", "60")))


signal.signal(signal.SIGWINCH, _stand_still)
