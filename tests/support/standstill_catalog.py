"""The built-in catalog in a worker whose main thread SIGWINCH holds up, as a deadlock in its loop would."""

import os
import signal
import time
from types import FrameType

from bridge.catalogs.finance.catalog import REGISTRY as registry  # noqa: N811  (the attribute that BRIDGE_REGISTRY names)

__all__ = ["registry"]


def _stand_still(_number: int, _frame: FrameType | None) -> None:
    time.sleep(float(os.environ["STAND_STILL_S"]))


signal.signal(signal.SIGWINCH, _stand_still)
