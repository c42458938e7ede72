"""A worker whose clock is wrong by hours: it steals nothing, loses nothing, and nothing comes early or late."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DomainEvent, Emitter, User
from bridge.celery_runtime.redis_channel import DELIVERIES_KEY
from bridge.local.redis_server import EmbeddedServer
from bridge.model.counting import PUBLISH_DELAY_MS, Distribution
from bridge.operations.letters import every_letter
from bridge.operations.retries import Retries
from bridge.operations.selection import Selection
from bridge.operations.status import Status, StatusReader
from bridge.redis_adapter import DeadLetters, connect
from bridge.redis_adapter.client import text
from bridge.wiring import open_store, store_of
from tests.fault.load import USERS, Producing, environment_for, expect_clean, settings_for
from tests.support import keys
from tests.support.clocks import Clock
from tests.support.counts import Counts
from tests.support.moody_catalog import attempts_of
from tests.support.timed_catalog import HOUR_S, Lasting, Postponed, Quick, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

APP = "tests.support.patient_app"
REGISTRY = "tests.support.timed_catalog:registry"
VISIBILITY_TIMEOUT_S = 2
LASTS_S = 2.6
LASTING = 6
POSTPONED = 40
QUICK = 1_500
DEAD_TTL_S = 3_600
"""Less than the clocks are wrong: one that counted would evict every letter."""
TOLERANCE_S = 60.0


@contextmanager
def _bridge(folder: Path) -> Iterator["_Bridge"]:
    with EmbeddedServer() as server:
        bridge = _Bridge(server.url, folder)
        try:
            yield bridge
        finally:
            bridge.close()


class _Bridge:
    """What the tests look at: the accounting, the status, and the retries that wait."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = settings_for(
            url, visibility_timeout_s=VISIBILITY_TIMEOUT_S, task_time_limit_s=1, dead_ttl_s=DEAD_TTL_S
        )
        self.folder = folder
        self.environment = {
            **environment_for(self.settings, folder, REGISTRY),
            "BRIDGE_DEAD_TTL_S": str(DEAD_TTL_S),
        }
        self.emitter = Emitter(self.settings, registry)
        self.client: redis.Redis = connect(self.settings)
        self.begun_at = datetime.now(UTC)
        self._reader = StatusReader(open_store(self.settings, briefly=True), self.settings, registry)

    @contextmanager
    def worker(self, name: str, clock: Mapping[str, str], *options: str) -> Iterator[WorkerProcess]:
        """A worker that consumes, with a clock of its own."""
        environment = {**self.environment, **clock}
        with running_worker(self.folder, environment, *options, app=APP, name=name) as worker:
            wait_until(lambda: not self._reader.read().faults, what="the worker says that it consumes")
            yield worker

    def counts(self) -> dict[str, int]:
        return Counts(self.client).read()

    def healthy_status(self) -> Status:
        """The status, which nobody's clock may make look bad."""
        status = self._reader.read()
        assert not status.faults, status.faults
        assert all(worker.silent_s < TOLERANCE_S for worker in status.workers)
        assert all(worker.report.oldest_task_s < TOLERANCE_S for worker in status.workers)
        return status

    def delays(self) -> Distribution:
        return PUBLISH_DELAY_MS.read(self.healthy_status().metrics)

    def emit_one_by_one(self, events: Sequence[DomainEvent]) -> list[str]:
        """In a message each."""
        for event in events:
            assert self.emitter.emit(event)
            assert self.emitter.flush(WAIT_S)
        return [str(event.event_id) for event in events]

    def waiting(self, event_ids: Sequence[str]) -> dict[str, float]:
        """Those of the events that wait for a retry, and when each is due."""
        due = self.client.zrange(keys.RETRY_DUE, 0, -1, withscores=True)
        return {text(name): at for name, at in due if text(name) in event_ids}

    def still_early(self, due: dict[str, float]) -> dict[str, float]:
        """Those that are not due yet, by Redis."""
        seconds, _ = self.client.time()
        return {event_id: at for event_id, at in due.items() if at > (seconds + 1) * 1000}

    def close(self) -> None:
        self._reader.close()
        self.emitter.close()
        self.client.close()


@pytest.mark.parametrize("hours", [2, -2])
def test_a_worker_with_a_wrong_clock_beside_a_right_one(tmp_path: Path, dice: random.Random, hours: int) -> None:
    clock = Clock(tmp_path)
    clock.set_ahead(hours)
    users = [uuid4() for _ in range(USERS)]
    with _bridge(tmp_path) as bridge:
        with bridge.worker("wrong", clock.environment, "--concurrency=2") as wrong:
            first = _measured_by_the_wrong_one(bridge, users[0])
            with bridge.worker("right", {}, "--concurrency=2"):
                accepted, for_nobody = _work(bridge, users, dice)
                with Producing(bridge.emitter, QUICK // 2, users, dice, _quick) as producing:
                    wait_until(lambda: len(producing.ids) > QUICK // 8, what="the load is on")
                    wrong.kill()
                assert bridge.emitter.flush(WAIT_S)
                # An operator does not wait for an hour.
                Retries(store_of(bridge.client, bridge.settings)).now(Selection(types=("Postponed",)))
                verdict = expect_clean(
                    bridge.settings,
                    users,
                    [first, *accepted, *producing.ids],
                    [*for_nobody, *producing.for_nobody],
                    timeout_s=30,
                )
        print(f"{hours:+} h: {verdict}; {bridge.counts()}")
        _expect_normal_lives(bridge, users)
        _expect_right_times(bridge)


def _measured_by_the_wrong_one(bridge: _Bridge, user: UUID) -> str:
    """What the wrong worker alone says of how long a publication took; returns the event's id."""
    [event_id] = bridge.emit_one_by_one([Lasting(user_id=user, lasts_s=1.2)])
    wait_until(lambda: bridge.delays().count == 1, what="the wrong worker works")
    delays = bridge.delays()
    assert dict(delays.buckets)[1_000] == 0, delays
    assert dict(delays.buckets)[10_000] == 1, delays
    return event_id


def _work(bridge: _Bridge, users: list[UUID], dice: random.Random) -> tuple[list[str], list[str]]:
    """Everything at once for both; returns the accepted ids, and those that are for nobody."""
    postponed = bridge.emit_one_by_one([Postponed(user_id=dice.choice(users), number=n) for n in range(POSTPONED)])
    wait_until(lambda: len(bridge.waiting(postponed)) == POSTPONED, what="all are postponed")
    due = bridge.waiting(postponed)
    lasting = [Lasting(user_id=dice.choice(users), lasts_s=LASTS_S) for _ in range(LASTING)]
    lasting_ids = bridge.emit_one_by_one(lasting)
    with Producing(bridge.emitter, QUICK, users, dice, _quick) as producing:
        pass
    accepted = [*postponed, *lasting_ids, *producing.ids]
    wait_until(lambda: _done(bridge, postponed), what="all is done but what is postponed")
    _expect_nothing_stolen(bridge, lasting)
    _expect_nothing_early(bridge, postponed, due)
    return accepted, producing.for_nobody


def _done(bridge: _Bridge, postponed: Collection[str]) -> bool:
    """Whether nothing is on its way but what is postponed; a few of that may have come due."""
    on_its_way = bridge.healthy_status().balance.open
    waiting = {text(event_id) for event_id in bridge.client.hkeys(keys.RETRY_RECORDS)}
    return not on_its_way and waiting <= set(postponed) and not bridge.client.exists("unacked")


def _expect_nothing_stolen(bridge: _Bridge, lasting: Sequence[Lasting]) -> None:
    """No claim came back, however long it was held."""
    assert [attempts_of(bridge.folder, event.event_id) for event in lasting] == [1] * len(lasting)
    assert not bridge.client.exists(DELIVERIES_KEY)
    assert bridge.counts()["duplicate"] == 0
    assert bridge.counts()["dead_evicted"] == 0


def _expect_nothing_early(bridge: _Bridge, postponed: Sequence[str], due: dict[str, float]) -> None:
    """What is not due by Redis waits where it was, and was not tried again."""
    early = bridge.still_early(due)
    assert len(early) > POSTPONED // 2
    assert early.items() <= bridge.waiting(postponed).items()
    assert all(attempts_of(bridge.folder, UUID(event_id)) == 1 for event_id in early)


def _expect_normal_lives(bridge: _Bridge, users: Sequence[UUID]) -> None:
    """Streams and seen marks expire as if all clocks were right."""
    settings = bridge.settings
    for user in users:
        life_s = bridge.client.ttl(keys.stream(User(user)))
        assert settings.stream_ttl_s - TOLERANCE_S <= life_s <= settings.stream_ttl_s
    # The catalog's own retries may take longer than those of the settings.
    longest_s = settings.seen_life_s + 3 * HOUR_S
    for mark in bridge.client.scan_iter(keys.seen_marks(), count=1000):
        life_s = bridge.client.ttl(mark)
        assert settings.seen_life_s - TOLERANCE_S <= life_s <= longest_s
    assert bridge.counts()["dead_evicted"] == 0


def _expect_right_times(bridge: _Bridge) -> None:
    """A dead letter says when it was buried, whoever did it; operators select by that."""
    letters = list(every_letter(DeadLetters(bridge.client, bridge.settings)))
    assert letters
    now = datetime.now(UTC)
    for letter in letters:
        for at in (letter.buried_at, *(attempt.at for attempt in letter.attempts)):
            since_s = (datetime.fromisoformat(at) - bridge.begun_at).total_seconds()
            assert -1 <= since_s <= (now - bridge.begun_at).total_seconds() + 1, letter


def _quick(user_id: UUID, number: int) -> DomainEvent:
    """One event in a hundred dies: of more, health would rightly say so whenever a few come together."""
    if number % 25 == 1:
        return Quick(user_id=None, number=number)
    return Quick(user_id=user_id, number=number, hopeless=number % 100 == 0, fails=int(number % 10 == 0))


def test_a_clock_that_is_set_while_a_message_runs(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    user = uuid4()
    with _bridge(tmp_path) as bridge:
        with bridge.worker("worker", clock.environment):
            event = Lasting(user_id=user, lasts_s=5)
            accepted = bridge.emit_one_by_one([event])
            wait_until(lambda: attempts_of(tmp_path, event.event_id), what="it runs")
            clock.set_ahead(2)
            wait_until(lambda: _running(bridge.healthy_status()) == 1, what="the worker says that it runs")
            wait_until(lambda: bridge.healthy_status().balance.published == 1, what="it is published")
            accepted += bridge.emit_one_by_one([Quick(user_id=user)])
            expect_clean(bridge.settings, [user], accepted, timeout_s=10)
            assert dict(bridge.delays().buckets)[10_000] == bridge.delays().count == 2
        assert attempts_of(tmp_path, event.event_id) == 1


def _running(status: Status) -> int:
    return sum(worker.report.running for worker in status.workers)
