"""The load under which the fault suite breaks things: settings, a producer on a thread, the check of the accounting."""

import os
import random
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import UUID

from bridge import DomainEvent, Emitter, Settings
from bridge.model.errors import StoreUnavailableError
from bridge.redis_adapter import connect
from tests.fault.oracle import Verdict, judge
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody
from tests.support.waiting import PATIENCE, wait_until

SCALE = float(os.environ.get("FAULT_SCALE", "1"))
SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(2**32)))

USERS = 20
VISIBILITY_TIMEOUT_S = 3
TASK_TIME_LIMIT_S = 2
REGISTRY = "tests.support.moody_catalog:registry"

Make = Callable[[UUID, int], DomainEvent]
"""Makes the event of that number for that user."""


def settings_for(url: str, store_url: str = "", **changes: object) -> Settings:
    """Small messages and short timeouts, so that much can happen in a short time."""
    values: dict[str, object] = {
        "broker_url": url,
        "redis_url": store_url,
        "visibility_timeout_s": VISIBILITY_TIMEOUT_S,
        "task_time_limit_s": TASK_TIME_LIMIT_S,
        "stream_maxlen": 1_000_000,
        "emit_batch_max": 20,
        **changes,
    }
    return Settings(**values)  # type: ignore[arg-type]


def environment_for(settings: Settings, folder: Path, registry: str = REGISTRY) -> dict[str, str]:
    """A worker's environment for these settings."""
    return {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REDIS_URL": settings.redis_url,
        "BRIDGE_REGISTRY": registry,
        "BRIDGE_VISIBILITY_TIMEOUT_S": str(settings.visibility_timeout_s),
        "BRIDGE_TASK_TIME_LIMIT_S": str(settings.task_time_limit_s),
        "BRIDGE_STREAM_MAXLEN": str(settings.stream_maxlen),
        "BRIDGE_DELIVERY_MAX": str(settings.delivery_max),
        "MOODY_DIR": str(folder),
    }


def cheerful(user_id: UUID, number: int) -> DomainEvent:
    """An event whose extractor works."""
    return Moody(user_id=user_id, number=number)


class Producing:
    """Emits events on a thread, a few at a time, and remembers the ids that were accepted.

    Ends with its block, but not before ``number`` events.
    """

    def __init__(
        self,
        emitter: Emitter,
        number: int,
        users: list[UUID],
        dice: random.Random,
        make: Make = cheerful,
        *,
        pause_s: float = 0.02,
    ) -> None:
        self.ids: list[str] = []
        self.for_nobody: list[str] = []
        self.slowest_s = 0.0
        self._emitter, self._number, self._users, self._make, self._pause_s = emitter, number, users, make, pause_s
        # A thread of its own needs dice of its own, or a run cannot be repeated.
        self._dice = random.Random(dice.random())
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while len(self.ids) < self._number or not self._ending.is_set():
            events = [
                self._make(self._dice.choice(self._users), len(self.ids) + n) for n in range(self._dice.randint(1, 40))
            ]
            begin = time.perf_counter()
            accepted = self._emitter.emit_many(events)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - begin)
            if accepted == len(events):
                self.for_nobody += [str(event.event_id) for event in events if event.user_id is None]
                self.ids += [str(event.event_id) for event in events]
            time.sleep(self._dice.random() * self._pause_s)

    def __enter__(self) -> "Producing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def expect_clean(
    settings: Settings,
    users: Collection[UUID],
    accepted: Collection[str],
    for_nobody: Collection[str] = (),
    *,
    timeout_s: float = 60.0,
) -> Verdict:
    """Wait until the accounting balances; fails with the verdict when it does not."""
    client = connect(settings)
    try:
        verdict = judge(client, settings, users, accepted, for_nobody)
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not verdict.clean and time.monotonic() < deadline:
            time.sleep(0.1)
            verdict = judge(client, settings, users, accepted, for_nobody)
        assert verdict.clean, f"after {timeout_s:g} s: {verdict}"
        return verdict
    finally:
        client.close()


def published_count(counts: Counts) -> int:
    """How many events are published; -1 while Redis does not answer."""
    try:
        return counts.read()["published"]
    except StoreUnavailableError:
        return -1


def expect_progress(counts: Counts, *, timeout_s: float = 30.0) -> float:
    """Wait until Redis answers and one more event is published; returns the seconds that took."""
    begin = time.monotonic()
    wait_until(lambda: published_count(counts) >= 0, what="Redis answers")
    before = published_count(counts)
    wait_until(lambda: published_count(counts) > before, timeout_s=timeout_s, what="events are published again")
    return time.monotonic() - begin


def mixed(user_id: UUID, number: int) -> DomainEvent:
    """Mostly cheerful; some fail at first, for good, or are for nobody: so that every script of the store has work."""
    if number % 25 == 0:
        return Moody(user_id=user_id, number=number, mode="permanent")
    if number % 25 == 1:
        return Moody(user_id=None, number=number)
    if number % 10 == 0:
        return Moody(user_id=user_id, number=number, mode="fail", times=1)
    return Moody(user_id=user_id, number=number)
