"""The broker's master is killed or freezes under load, sentinels promote its replica: everybody goes on by himself."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DomainEvent, Emitter, User
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
EVENTS = 300
GO_ON_WITHIN_S = {"killed": 10.0, "frozen": 25.0}
"""A master that stands still is noticed when a reply does not come for 5 s, more than once."""
REPLICATED_WITHIN_MS = 5_000


@pytest.mark.parametrize("faults", [("killed", "killed"), ("frozen",)], ids="+".join)
def test_fail_overs_lose_and_double_nothing(tmp_path: Path, dice: random.Random, faults: tuple[str, ...]) -> None:
    """One after the other: the old master comes back as a replica, and is the next to be promoted."""
    users, accepted = [uuid4() for _ in range(USERS)], list[str]()
    with EmbeddedServer() as store, _replicated(tmp_path) as (master, replica, sentinels):
        settings = settings_for(sentinels.url, store.url, broker_sentinel_master=MASTER)
        environment = {**environment_for(settings, tmp_path), "BRIDGE_BROKER_SENTINEL_MASTER": MASTER}
        with (
            closing(Emitter(settings, registry)) as emitter,
            connect(settings) as client,
            running_worker(tmp_path, environment, "--concurrency=2") as worker,
        ):
            counts = Counts(client)
            for fault in faults:
                _wait_until_followed(sentinels, master)
                with Producing(emitter, EVENTS, users, dice, _some_slow, pause_s=0) as before:
                    pass
                assert emitter.flush(WAIT_S)
                accepted += before.ids
                _wait_for_the_replica(master)
                assert counts.read()["published"] < len(accepted), "nothing is left to do when the master goes"
                _strike(master, fault)
                begin = time.monotonic()
                # No more than the worker can do, or what is emitted last waits for all the rest.
                with Producing(emitter, 1, users, dice, _some_slow, pause_s=0.3) as after:
                    promoted_s = _promoted(sentinels, master) - begin
                    # What the worker had in its hands when the master went is published by now.
                    expect_progress(counts, timeout_s=GO_ON_WITHIN_S[fault])
                    consuming_s = time.monotonic() - begin
                    newest = Moody(user_id=users[0])
                    assert emitter.emit(newest)
                    wait_until(partial(_stands_in_its_stream, client, newest), what="the newest is published")
                assert emitter.flush(WAIT_S)
                accepted += [*after.ids, str(newest.event_id)]
                print(
                    f"{fault}: promoted after {promoted_s:.1f} s, consuming again after {consuming_s:.1f} s; "
                    f"slowest call with up to 40 events: {after.slowest_s * 1e3:.1f} ms"
                )
                if fault == "killed":
                    _come_back(master, replica)
                master, replica = replica, master
            verdict = expect_clean(settings, users, accepted, timeout_s=30)
            print(f"{verdict}; {counts.read()}")
            assert worker.process.poll() is None
            assert "Connected to sentinel://" not in worker.text(), "it went on with kombu's own transport"
        assert verdict.dead == 0


@contextmanager
def _replicated(folder: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer, Sentinels]]:
    """A master with one replica, and sentinels that know the master."""
    with EmbeddedServer() as master, EmbeddedServer() as replica:
        _follow(replica, master)
        with running_sentinels(folder, master.port, SENTINELS) as sentinels:
            yield master, replica, sentinels
            if master.pid is not None:
                os.kill(master.pid, signal.SIGCONT)


def _follow(replica: EmbeddedServer, master: EmbeddedServer) -> None:
    with redis.Redis(port=replica.port) as client, redis.Redis(port=master.port) as followed:
        followed.config_set("repl-diskless-sync-delay", 0)
        client.replicaof("127.0.0.1", str(master.port))
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica is in step")


def _come_back(old: EmbeddedServer, master: EmbeddedServer) -> None:
    """As whoever starts it anew would have it: sentinels take some seconds to make a replica of it."""
    old.start()
    _follow(old, master)


def _wait_until_followed(sentinels: Sentinels, master: EmbeddedServer) -> None:
    wait_until(
        lambda: sentinels.master_ports() == {master.port} and sentinels.know_replicas(1), what="all know the replica"
    )


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
    entries = client.xrange(keys.stream(User(event.user_id)))
    return any(text(fields[b"event_id"]) == str(event.event_id) for _, fields in entries)


def _some_slow(user_id: UUID, number: int) -> DomainEvent:
    """So that the worker has something in its hands, and something waits, when the master goes."""
    if number % 10 == 0:
        return Moody(user_id=user_id, number=number, mode="fail", times=1)
    return Moody(user_id=user_id, number=number, mode="slow" if number % 5 == 1 else "ok")
