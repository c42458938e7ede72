"""``StoreRest``: how long a worker of a team's app claims no events, as the bridge's store is away."""

import time
from collections.abc import Callable
from threading import Event

from bridge.model.errors import StoreError, StoreRefusedError
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter import StoreClock, connect_briefly
from bridge.runtime.supervision import SupervisedThread
from bridge.settings import WorkerSettings

logger = plain_logger(__name__)

LOOK_S = 1.0
"""How long it rests at first, and how often the store is asked afterwards."""
REST_MAX_S = 30.0
SOON_S = 60.0
"""Who must rest again within this time rests twice as long: the store answers, and does not do what is asked."""
STOP_TIMEOUT_S = 3.0


class StoreRest:
    """Asks on a thread of its own, since an answer may take its time.

    Args:
        settings: where the store is.
        go_on: called on that thread, once the store answers.
    """

    def __init__(self, settings: WorkerSettings, go_on: Callable[[], object]) -> None:
        self._settings = settings
        self._go_on = go_on
        self._rest_s, self._ended_at = LOOK_S, float("-inf")
        self._thread: SupervisedThread | None = None
        self.lasts = False

    def begin(self) -> None:
        """Rest. Idempotent; for the loop alone."""
        if self.lasts:
            return
        soon = time.monotonic() - self._ended_at < SOON_S
        self._rest_s = min(2 * self._rest_s, REST_MAX_S) if soon else LOOK_S
        self.lasts = True
        logger.warning("bridge.installed.rests: no events are claimed until the store answers; the app's tasks go on.")
        self._thread = thread = SupervisedThread(lambda: self._wait(thread.stopping), name="bridge-store-watch")
        thread.start()

    def stop(self) -> None:
        """Ask no more."""
        if self._thread is not None:
            self._thread.stop(STOP_TIMEOUT_S)

    def _wait(self, stopping: Event) -> None:
        wait_s = self._rest_s
        while not stopping.wait(wait_s):
            wait_s = LOOK_S
            if _answers(self._settings):
                self._ended_at = time.monotonic()
                self.lasts = False  # first: who connects from now on consumes at once
                logger.info("bridge.installed.goes_on: the store answers.")
                self._go_on()
                return


def _answers(settings: WorkerSettings) -> bool:
    """Whether the store does, be it by a refusal, of which only a task can find out whether it matters."""
    try:
        with connect_briefly(settings) as client:
            StoreClock(client).now_ms()
    except StoreRefusedError:
        return True
    except StoreError:
        return False
    return True
