"""The master changes under load: its name moves while old connections stay, sentinels promote, an operator says so."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Emitter
from bridge.model.accounting import Balance
from bridge.operations.audit import Auditor
from bridge.redis_adapter import connect, read_balance
from bridge.redis_adapter.client import text
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.fault.load import Producing, environment_for, expect_progress, settings_for
from tests.support.counts import Counts
from tests.support.gateway import Listener, running_gateway
from tests.support.keys import user_stream
from tests.support.moody_catalog import Moody, registry
from tests.support.own_redis import RedisServer, running_redis
from tests.support.promptness import busyness
from tests.support.proxy import Proxy
from tests.support.sentinels import MASTER, running_sentinels
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

GO_ON_WITHIN_S = 10.0
"""The bar on an idle machine; waits are longer on a busy one."""
RESET = "stream.reset"


@dataclass(frozen=True, slots=True)
class Pair:
    """A master, and its replica that is in step."""

    old: RedisServer
    new: RedisServer

    def promote(self, *, lost: int = 0) -> None:
        """As an operator does it: what was written to the old one meanwhile is gone, ``lost`` events or more."""
        self.hold_in_step()
        with self.old.client() as old, self.new.client() as new:
            new.execute_command("REPLICAOF", "NO", "ONE")
            if lost:
                old.execute_command("CLIENT", "UNPAUSE")
                accepted = int(old.hget("bridge:counts", "accepted") or 0)
                wait_until(
                    lambda: int(old.hget("bridge:counts", "accepted") or 0) >= accepted + lost, what="more was accepted"
                )
            old.execute_command("REPLICAOF", "127.0.0.1", self.new.port)
            old.execute_command("CLIENT", "UNPAUSE")

    def hold_in_step(self) -> None:
        """Have the new one know all that the old one does: who writes is kept waiting from now on."""
        with self.old.client() as old, self.new.client() as new:
            old.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            wait_until(
                lambda: old.info("replication")["master_repl_offset"] == new.info("replication")["slave_repl_offset"],
                what="it is in step",
            )


@contextmanager
def _pair() -> Iterator[Pair]:
    fast = ("--repl-diskless-sync-delay", "0")
    with running_redis(*fast) as old, running_redis(*fast, "--replicaof", f"127.0.0.1 {old.port}") as new:
        with new.client() as client:
            wait_until(lambda: client.info("replication").get("master_link_status") == "up", what="it is in step")
        yield Pair(old, new)


def _everybody_goes_on(
    settings: Settings,
    folder: Path,
    dice: random.Random,
    switch: Callable[[], redis.Redis],
    *,
    sets_back: bool = False,
) -> tuple[Balance, Sequence[str], Sequence[str]]:
    """Producer, worker, mover and gateway before and after a switch, under load.

    Args:
        settings: of the bridge.
        folder: for logs.
        dice: for the load.
        switch: changes the master; returns a client of the new one.
        sets_back: whether the new one never had some of the events; then the client must be told.

    Returns:
        The accounting, the events of the load that are in no stream at the end, and what a client was told. What it
        has as on its way is missing, and the audit says so.
    """
    users, listening = [uuid4() for _ in range(5)], uuid4()
    environment = environment_for(settings, folder) | _sentinel_environment(settings)
    emitter = Emitter(settings, registry)
    with (
        running_gateway(folder, environment) as url,
        running_worker(folder, environment) as worker,
        Producing(emitter, 1, [*users, listening], dice) as producing,
    ):
        with connect(settings) as before:
            expect_progress(Counts(before))
        listener = Listener(url, listening)
        emitter.emit(Moody(user_id=listening, number=1))
        listener.wait_for(1)
        client = switch()
        begin = time.monotonic()
        expect_progress(Counts(client), timeout_s=GO_ON_WITHIN_S)
        going_on_s = time.monotonic() - begin
        # A retry needs the mover, and a client the gateway; each has connections of its own.
        emitter.emit(retried := Moody(user_id=listening, number=2, mode="fail", times=1))
        wait_until(
            lambda: any(event.id.startswith(str(retried.event_id)) for event in listener.events),
            timeout_s=GO_ON_WITHIN_S,
            what=f"the client hears of the retried event; {[event.event for event in listener.events]}",
        )
        all_s = time.monotonic() - begin
        if sets_back:
            wait_until(lambda: RESET in [event.event for event in listener.events], what="the client is told to load")
        assert worker.process.poll() is None
    busy = busyness()
    print(
        f"going on after {going_on_s:.1f} s, everybody after {all_s:.1f} s, on a machine that is {busy:.0f} times busy"
    )
    assert all_s / busy < GO_ON_WITHIN_S
    assert emitter.flush(20)
    emitter.close()
    with running_worker(folder, environment, name="last"):
        # What the old master settled and took with it, and a worker acknowledged to the new one, is told and no more.
        audit = Auditor(store_of(client, settings), settings, registry).audit
        wait_until(
            lambda: (found := audit(grace_s=0)).missing == found.balance.open,
            what="nothing is on its way but what the audit says is missing",
        )
    balance = read_balance(client)
    print(balance, Counts(client).read())
    assert balance.balanced
    published = {
        text(fields[b"event_id"])
        for key in client.scan_iter(match="sse:stream:user:*")
        for _, fields in client.xrange(key)
    }
    _assert_nothing_is_missed(
        listener, [text(fields[b"event_id"]) for _, fields in client.xrange(user_stream(listening))]
    )
    client.close()
    return balance, sorted(set(producing.ids) - published), [event.event for event in listener.events]


def _assert_nothing_is_missed(listener: Listener, stands: list[str]) -> None:
    """From the first event that a client heard to the last, it heard what stands in its stream, once, or was told."""
    heard = [event.id[:36] for event in listener.events if event.event != RESET]
    print(f"a client heard {len(heard)} events, {len(listener.events) - len(heard)} resets")
    if RESET not in [event.event for event in listener.events]:  # behind one, what is loaded anew comes again
        assert stands[stands.index(heard[0]) : stands.index(heard[-1]) + 1] == heard


def _sentinel_environment(settings: Settings) -> dict[str, str]:
    return {"BRIDGE_BROKER_SENTINEL_MASTER": settings.broker_sentinel_master}


def test_a_name_that_moves_takes_everybody_along(tmp_path: Path, dice: random.Random) -> None:
    with _pair() as pair, Proxy(pair.old.port, dice) as name:

        def switch() -> redis.Redis:
            pair.promote(lost=100)
            name.move(pair.new.port)
            return pair.new.client()

        settings = settings_for(f"redis://127.0.0.1:{name.port}/0")
        balance, forgotten, told = _everybody_goes_on(settings, tmp_path, dice, switch, sets_back=True)
        assert balance.set_back > 0
        assert len(forgotten) <= balance.set_back + balance.open
        assert RESET in told


def test_a_master_that_is_a_replica_for_a_while_is_waited_for(tmp_path: Path, dice: random.Random) -> None:
    with _pair() as pair:

        def switch() -> redis.Redis:
            pair.promote()
            with pair.new.client() as client:
                wait_until(lambda: client.info("replication")["connected_slaves"] == 1, what="the old one follows")
                client.set("written", 1)
                assert client.wait(1, 5_000) == 1
            with pair.old.client() as client:
                client.execute_command("REPLICAOF", "NO", "ONE")
            return pair.old.client()

        _everybody_goes_on(settings_for(pair.old.url), tmp_path, dice, switch)


def test_a_killed_master_behind_sentinels_is_left_for_the_new_one(tmp_path: Path, dice: random.Random) -> None:
    with _pair() as pair, running_sentinels(tmp_path, pair.old.port, 3) as sentinels:
        wait_until(lambda: sentinels.know_replicas(1), what="the sentinels know the replica")

        def switch() -> redis.Redis:
            pair.hold_in_step()
            pair.old.process.kill()
            wait_until(lambda: sentinels.master_ports() == {pair.new.port}, what="one is promoted")
            return pair.new.client()

        settings = settings_for(sentinels.url, broker_sentinel_master=MASTER)
        _everybody_goes_on(settings, tmp_path, dice, switch)
