"""An idle worker that consumes every queue of the catalog is as quick as one that consumes a single queue."""

import random
import statistics
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
import redis

from bridge import DomainEvent, Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.support.keys import user_channel
from tests.support.producer import catalog
from tests.support.sentinels import MASTER, running_sentinels
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

ADDS_AT_MOST_S = 0.020
TIMES_AT_MOST = 4
"""As long as with one queue, where that takes longer, too. Asking queue after queue takes a hundred times as long."""
EVENTS = 40
IDLE_S = (0.03, 0.08)
"""The worker is idle for so long between two events."""
ONE = "bridge.import"


class Arrivals:
    """When each event of a user was published, as its gateway would hear it."""

    def __init__(self, client: redis.Redis, user: UUID) -> None:
        self.at: dict[str, float] = {}
        self._subscription = client.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe(user_channel(user))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ending.is_set():
            message = self._subscription.get_message(timeout=0.1)
            if message:
                self.at[msgspec.json.decode(message["data"])["event_id"]] = time.perf_counter()

    def __enter__(self) -> "Arrivals":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._subscription.close()


@pytest.mark.parametrize("broker", ["redis", "sentinel"])
def test_several_queues_cost_an_idle_worker_no_time(tmp_path: Path, dice: random.Random, broker: str) -> None:
    with EmbeddedServer() as server, _broker(broker, server, tmp_path) as settings:
        one_s = _waits_s(settings, tmp_path, dice, f"--queues={ONE}")
        all_s = _waits_s(settings, tmp_path, dice)
    one, every = statistics.median(one_s), statistics.median(all_s)
    print(
        f"{broker}: from emit to publication {every * 1e3:.1f} ms (median of {len(all_s)}, "
        f"longest {max(all_s) * 1e3:.1f} ms) with {len(REGISTRY.queues)} queues, {one * 1e3:.1f} ms with one"
    )
    assert len(REGISTRY.queues) >= 6
    assert every < max(ADDS_AT_MOST_S, TIMES_AT_MOST * one)


@contextmanager
def _broker(kind: str, server: EmbeddedServer, folder: Path) -> Iterator[Settings]:
    if kind == "redis":
        yield Settings(broker_url=server.url)
        return
    with running_sentinels(folder, server.port) as sentinels:
        yield Settings(broker_url=sentinels.url, broker_sentinel_master=MASTER, redis_url=server.url)


def _waits_s(settings: Settings, folder: Path, dice: random.Random, *options: str) -> list[float]:
    """How long each event took from the call of ``emit`` to its publication, by a worker with these options."""
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_BROKER_SENTINEL_MASTER": settings.broker_sentinel_master,
        "BRIDGE_REDIS_URL": settings.redis_url,
    }
    user = uuid4()
    emitter = Emitter(settings, REGISTRY)
    name = "one" if options else "all"
    with (
        connect(settings) as client,
        Arrivals(client, user) as arrivals,
        running_worker(folder, environment, *options, name=name),
    ):
        events = _events(user, queues=(ONE,) if options else REGISTRY.queues)
        # The first event opens connections.
        _emit(emitter, arrivals, events.pop())
        dice.shuffle(events)
        waits_s = []
        for event in events:
            time.sleep(dice.uniform(*IDLE_S))
            waits_s.append(_emit(emitter, arrivals, event))
    emitter.close()
    return waits_s


def _events(user: UUID, queues: Collection[str]) -> list[DomainEvent]:
    """One more than are measured, for these queues."""
    classes = {row.domain_event_class for row in REGISTRY.mappings if REGISTRY.queue_of(row) in queues}
    endless = (event for _ in count() for event in catalog(user) if type(event) in classes)
    return list(islice(endless, EVENTS + 1))


def _emit(emitter: Emitter, arrivals: Arrivals, event: DomainEvent) -> float:
    begin = time.perf_counter()
    assert emitter.emit(event)
    name = str(event.event_id)
    wait_until(lambda: name in arrivals.at, what=f"{type(event).__name__} is published")
    return arrivals.at[name] - begin
