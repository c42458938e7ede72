"""The overview's figures, read once for all pages that are open at the same time."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.errors import StoreError
from bridge.model.registry import Registry
from bridge.operations import Group, Letters, Selection, Status, StatusReader, is_consuming
from bridge.ports import Store
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
    consuming: int = 0  # how many workers take messages
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
        self._settings = settings
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
        consuming = sum(is_consuming(self._settings, worker) for worker in status.workers)
        return Figures(
            status=status,
            consuming=consuming,
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
