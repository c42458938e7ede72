"""What a page's process keeps between requests: the overview's figures, and the redrives that run here."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge.model.errors import BridgeError, OperationRefusedError, StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.operations import Group, Letters, Redrives, Selection, Status, StatusReader
from bridge.ports import Store
from bridge.runtime.supervision import SupervisedThread
from bridge.settings import OpsSettings
from bridge.wiring import open_store

FRESH_S = 1.0
"""Asked again sooner, the overview shows what it has."""
GROUPS_FRESH_S = 5.0
GROUPS_SHARE = 10
"""Grouping many letters takes Redis' time; it is done at most a tenth of the time."""
RATES_MAX = 40
IDLE_S = 10.0
"""After a longer time without viewers, the curve begins anew: its steps would not be of one length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the overview shows."""

    status: Status | None
    trouble: str = ""  # why there is no status
    # Events published a second, oldest first; the last is the present, 0 stands where there were no viewers
    rates: tuple[float, ...] = ()
    groups: tuple[Group, ...] = ()  # of dead letters, largest first

    @property
    def healthy(self) -> bool:
        """Whether events flow."""
        return self.status is not None and self.status.healthy


class OverviewCache:
    """Reads the figures when they are old. Thread-safe.

    Args:
        store: for the groups; the figures are read over a connection that gives up soon.
        clock: monotonic, in s.
    """

    def __init__(
        self,
        settings: OpsSettings,
        registry: Registry,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = StatusReader(open_store(settings, briefly=True), settings, registry)
        self._letters = Letters(store)
        self._clock = clock
        self._turn = threading.Lock()
        self._figures: Figures | None = None
        self._read_at = 0.0
        self._groups: tuple[Group, ...] = ()
        self._groups_again_at = 0.0
        self._rates: deque[float] = deque(maxlen=RATES_MAX)

    def figures(self) -> Figures:
        """The present figures, up to FRESH_S old."""
        with self._turn:
            now = self._clock()
            if self._figures is None or now - self._read_at >= FRESH_S:
                if now - self._read_at > IDLE_S:
                    self._rates.clear()
                self._figures = self._read()
                self._read_at = now
            return self._figures

    def close(self) -> None:
        """Drop the connection."""
        self._reader.close()

    def _read(self) -> Figures:
        try:
            status = self._reader.read()
            groups = self._read_groups(status)
        except StoreError as error:
            return Figures(status=None, trouble=str(error))
        if status.published_per_s is not None:
            self._rates.append(status.published_per_s)
        return Figures(
            status=status,
            rates=(0.0,) * (RATES_MAX - len(self._rates)) + tuple(self._rates),
            groups=groups,
        )

    def _read_groups(self, status: Status) -> tuple[Group, ...]:
        began = self._clock()
        if not status.letters:
            self._groups = ()
        elif began >= self._groups_again_at:
            self._groups = self._letters.groups(Selection())
            took_s = self._clock() - began
            self._groups_again_at = began + max(GROUPS_FRESH_S, took_s * GROUPS_SHARE)
        return self._groups


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
