"""Redrives that run in this process, each on a thread of its own; when it ends, they stand still and can be resumed."""

import threading
from collections import OrderedDict
from functools import partial

from bridge.model.errors import BridgeError, OperationRefusedError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.operations import Redrives
from bridge.runtime.supervision import SupervisedThread
from bridge.settings import OpsSettings
from bridge.wiring import open_store

RUNNING_MAX = 4
TROUBLES_MAX = 100
END_TIMEOUT_S = 3.0

log = plain_logger(__name__)


class RunningRedrives:
    """Starts redrives and ends with them."""

    def __init__(self, settings: OpsSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._ending = threading.Event()
        self._guard = threading.Lock()
        self._threads: dict[str, SupervisedThread] = {}
        self._troubles: OrderedDict[str, str] = OrderedDict()

    def start(self, redrive_id: str, *, who: str, resend: bool = False) -> None:
        """Run a redrive from now on, or go on with it; ``who`` had it run, for the log.

        Raises:
            OperationRefusedError: this process runs it already, or as many as it may.
        """
        with self._guard:
            if redrive_id in self._threads:
                raise OperationRefusedError(f"Redrive {redrive_id} runs in this process already.")
            if len(self._threads) >= RUNNING_MAX:
                raise OperationRefusedError(
                    f"{RUNNING_MAX} redrives run in this process already: resume this one when one of them is done, "
                    f"or elsewhere with: sse-bridge dead redrive --resume {redrive_id}"
                )
            self._troubles.pop(redrive_id, None)
            # A daemon: a redrive survives the end of its process, so the process need not wait for it.
            thread = SupervisedThread(
                partial(self._run, redrive_id, who, resend), name=f"redrive-{redrive_id}", once=True
            )
            self._threads[redrive_id] = thread
            thread.start()

    def trouble(self, redrive_id: str) -> str:
        """Why this process could not go on with a redrive; empty if it could."""
        return self._troubles.get(redrive_id, "")

    def is_here(self, redrive_id: str) -> bool:
        """Whether this process runs it."""
        return redrive_id in self._threads

    def end(self) -> None:
        """Have all redrives pause, and wait a little for it."""
        self._ending.set()
        for thread in list(self._threads.values()):
            thread.join(END_TIMEOUT_S)

    def _run(self, redrive_id: str, who: str, resend: bool) -> None:
        trouble = ""
        try:
            with open_store(self._settings) as store:
                redrives = Redrives(store, self._settings, self._registry)
                redrives.run(redrive_id, should_stop=self._ending.is_set, resend=resend, who=who)
        except BridgeError as error:
            trouble = str(error)
        except Exception:
            log.exception("bridge.ops.redrive_failed", extra={"redrive_id": redrive_id})
            trouble = "It ended unexpectedly; the log of this process says how. What was not sent yet can be resumed."
        with self._guard:
            del self._threads[redrive_id]
            if trouble:
                self._troubles[redrive_id] = trouble
                if len(self._troubles) > TROUBLES_MAX:
                    self._troubles.popitem(last=False)
