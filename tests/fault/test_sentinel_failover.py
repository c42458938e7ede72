"""The broker's master is killed or freezes under load, sentinels promote its replica: everybody goes on by himself."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DomainEvent, Emitter
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from bridge.redis_adapter.client import text
from tests.fault.load import USERS, Producing, environment_for, expect_clean, expect_progress, settings_for
from tests.support import keys
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.sentinels import MASTER, Sentinels, running_sentinels
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

SENTINELS = 3
EVENTS = 600
GO_ON_WITHIN_S = {"killed": 10.0, "frozen": 25.0}
"""A master that stands still is noticed when a reply does not come for 5 s, more than once."""
REPLICATED_WITHIN_MS = 5_000


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_fail_over_loses_and_doubles_nothing(tmp_path: Path, dice: random.Random, fault: str) -> None:
    users = [uuid4() for _ in range(USERS)]
    with EmbeddedServer() as store, _replicated(tmp_path) as (master, sentinels):
        settings = settings_for(sentinels.url, store.url, broker_sentinel_master=MASTER)
        environment = {**environment_for(settings, tmp_path), "BRIDGE_BROKER_SENTINEL_MASTER": MASTER}
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment, "--concurrency=2") as worker:
            with Producing(emitter, EVENTS, users, dice, _some_slow, pause_s=0) as before:
                pass
            assert emitter.flush(WAIT_S)
            _wait_for_the_replica(master)
            assert Counts(client).read()["published"] < len(before.ids), "nothing is left to do when the master goes"
            _strike(master, fault)
            begin = time.monotonic()
            # No more than the worker can do, or what is emitted last waits for all the rest.
            with Producing(emitter, 1, users, dice, _some_slow, pause_s=0.3) as after:
                promoted_s = _promoted(sentinels, master) - begin
                # What the worker had in its hands when the master went is published by now.
                expect_progress(Counts(client), timeout_s=GO_ON_WITHIN_S[fault])
                consuming_s = time.monotonic() - begin
                newest = Moody(user_id=users[0])
                assert emitter.emit(newest)
                wait_until(lambda: _stands_in_its_stream(client, newest), what="the newest is published")
            assert emitter.flush(WAIT_S)
            accepted = [*before.ids, *after.ids, str(newest.event_id)]
            verdict = expect_clean(settings, users, accepted, timeout_s=30)
            assert worker.process.poll() is None
            assert "Connected to sentinel://" not in worker.text(), "it went on with kombu's own transport"
        print(
            f"{fault}: {verdict}; promoted after {promoted_s:.1f} s, consuming again after {consuming_s:.1f} s; "
            f"slowest call with up to 40 events: {after.slowest_s * 1e3:.1f} ms; {Counts(client).read()}"
        )
        assert verdict.dead == 0
        emitter.close()
        client.close()


@contextmanager
def _replicated(folder: Path) -> Iterator[tuple[EmbeddedServer, Sentinels]]:
    """A master with one replica, which is in step, and sentinels that know both."""
    with EmbeddedServer() as master, EmbeddedServer() as replica:
        with redis.Redis(port=replica.port) as client:
            client.replicaof("127.0.0.1", str(master.port))
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica is in step")
        with running_sentinels(folder, master.port, SENTINELS) as sentinels:
            wait_until(lambda: sentinels.know_replicas(1), what="the sentinels know the replica")
            yield master, sentinels
            if master.pid is not None:
                os.kill(master.pid, signal.SIGCONT)


def _wait_for_the_replica(master: EmbeddedServer) -> None:
    """Redis replicates behind its answers: what it took a moment before it died, it may lose whatever we do."""
    with redis.Redis(port=master.port) as client:
        # WAIT is about the writes of its own connection.
        client.set("written", 1)
        assert client.wait(1, REPLICATED_WITHIN_MS) == 1


def _strike(master: EmbeddedServer, fault: str) -> None:
    if fault == "killed":
        master.kill()
    else:
        assert master.pid is not None
        os.kill(master.pid, signal.SIGSTOP)


def _promoted(sentinels: Sentinels, old: EmbeddedServer) -> float:
    """When most sentinels named another master, on the monotonic clock."""
    wait_until(lambda: not sentinels.master_ports() & {old.port, -1}, what="the replica is promoted")
    return time.monotonic()


def _stands_in_its_stream(client: redis.Redis, event: DomainEvent) -> bool:
    assert event.user_id is not None
    entries = client.xrange(keys.user_stream(event.user_id))
    return any(text(fields[b"event_id"]) == str(event.event_id) for _, fields in entries)


def _some_slow(user_id: UUID, number: int) -> DomainEvent:
    """So that the worker has something in its hands, and something waits, when the master goes."""
    if number % 10 == 0:
        return Moody(user_id=user_id, number=number, mode="fail", times=1)
    return Moody(user_id=user_id, number=number, mode="slow" if number % 5 == 1 else "ok")
