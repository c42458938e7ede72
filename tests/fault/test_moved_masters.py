"""The master changes under load: its name moves while old connections stay, sentinels promote, an operator says so."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, User
from bridge.model.accounting import Balance
from bridge.operations.audit import Auditor
from bridge.redis_adapter import Ledger, connect, read_balance
from bridge.redis_adapter.client import text
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.fault.load import Producing, environment_for, expect_progress, settings_for
from tests.support import keys
from tests.support.counts import Counts
from tests.support.gateway import Listener, running_gateway
from tests.support.moody_catalog import Moody, registry
from tests.support.pairs import running_pair
from tests.support.promptness import busyness
from tests.support.proxy import Proxy
from tests.support.sentinels import MASTER, running_sentinels
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, running_worker

GO_ON_WITHIN_S = 10.0
"""The bar on an idle machine; waits are longer on a busy one."""
RESET = "stream.reset"


def _everybody_goes_on(
    settings: Settings,
    folder: Path,
    dice: random.Random,
    switch: Callable[[WorkerProcess], redis.Redis],
    *,
    sets_back: bool = False,
) -> tuple[Balance, set[str]]:
    """Producer, worker, mover and gateway before and after a switch, under load.

    Args:
        settings: of the bridge.
        folder: for logs.
        dice: for the load.
        switch: changes the master, given the worker; returns a client of the new one.
        sets_back: whether the new one never had some of the events; then the client must be told.

    Returns:
        The accounting, and the events of the load that are in no stream at the end. Nothing is on its way then.
    """
    users, listening = [uuid4() for _ in range(5)], uuid4()
    environment = environment_for(settings, folder) | _sentinel_environment(settings)
    emitter = Emitter(settings, registry)
    with (
        running_gateway(folder, environment) as url,
        running_worker(folder, environment) as worker,
        # No more than the worker can do on a busy machine, or what is emitted last waits for all the rest.
        Producing(emitter, 1, [*users, listening], dice, pause_s=0.3) as producing,
    ):
        with connect(settings) as before:
            expect_progress(Counts(before))
        listener = Listener(url, listening)
        emitter.emit(Moody(user_id=listening, number=1))
        listener.wait_for(1)
        client = switch(worker)
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
        wait_until(lambda: not (read_balance(client).open or read_balance(client).retrying), what="all has ended")
    balance = read_balance(client)
    audit = Auditor(store_of(client, settings), settings, registry).audit(grace_s=0)
    print(balance, Counts(client).read())
    assert balance.balanced
    assert not audit.missing
    published = _published(client)
    _assert_nothing_is_missed(
        listener, [text(fields[b"event_id"]) for _, fields in client.xrange(keys.stream(User(listening)))]
    )
    client.close()
    return balance, set(producing.ids) - published


def _published(client: redis.Redis) -> set[str]:
    return {
        text(fields[b"event_id"])
        for key in client.scan_iter(match="sse:stream:user:*")
        for _, fields in client.xrange(key)
    }


def _known(client: redis.Redis, settings: Settings) -> set[str]:
    """Every event that a server has, wherever it is."""
    ledger = Ledger(client, settings)
    on_their_way = ledger.get([summary.message_id for summary in ledger.summaries()])
    return (
        _published(client)
        | {str(event_id) for message in on_their_way for event_id in message.event_ids}
        | {text(event_id) for event_id in client.hkeys(keys.RETRY_RECORDS)}
    )


def _assert_nothing_is_missed(listener: Listener, stands: list[str]) -> None:
    """From the first event that a client heard to the last, it heard what stands in its stream, once, or was told."""
    heard = [event.id[:36] for event in listener.events if event.event != RESET]
    print(f"a client heard {len(heard)} events, {len(listener.events) - len(heard)} resets")
    if RESET not in [event.event for event in listener.events]:  # behind one, what is loaded anew comes again
        assert stands[stands.index(heard[0]) : stands.index(heard[-1]) + 1] == heard


def _sentinel_environment(settings: Settings) -> dict[str, str]:
    return {"BRIDGE_BROKER_SENTINEL_MASTER": settings.broker_sentinel_master}


@pytest.mark.parametrize("worker_first", [False, True])
def test_a_name_that_moves_takes_everybody_along(tmp_path: Path, dice: random.Random, worker_first: bool) -> None:
    """Also where the worker itself is there first, while all other connections lead to the old master, its pool's."""
    known: set[str] = set()
    with running_pair() as pair, Proxy(pair.old.port, dice) as name:
        settings = settings_for(f"redis://127.0.0.1:{name.port}/0")

        def switch(worker: WorkerProcess) -> redis.Redis:
            pair.part()
            client = pair.new.client()
            known.update(_known(client, settings))
            if worker_first:
                name.move(pair.new.port)
                name.cut(worker.ports_to(name.port))
                wait_until(lambda: worker.ports_to(name.port), what="the worker is there")
            pair.lose(100)
            pair.demote()
            name.move(pair.new.port)
            return client

        balance, forgotten = _everybody_goes_on(settings, tmp_path, dice, switch, sets_back=True)
        assert balance.set_back > 0
        # Whatever the new master ever had is published, though the old one was the last to settle it.
        assert not forgotten & known
        assert len(forgotten) <= balance.set_back


def test_a_master_that_is_a_replica_for_a_while_is_waited_for(tmp_path: Path, dice: random.Random) -> None:
    with running_pair() as pair:

        def switch(_: WorkerProcess) -> redis.Redis:
            pair.promote()
            pair.demote()
            with pair.new.client() as client:
                wait_until(lambda: client.info("replication")["connected_slaves"] == 1, what="the old one follows")
                client.set("written", 1)
                assert client.wait(1, 5_000) == 1
            with pair.old.client() as client:
                client.execute_command("REPLICAOF", "NO", "ONE")
            return pair.old.client()

        _everybody_goes_on(settings_for(pair.old.url), tmp_path, dice, switch)


def test_a_killed_master_behind_sentinels_is_left_for_the_new_one(tmp_path: Path, dice: random.Random) -> None:
    with running_pair() as pair, running_sentinels(tmp_path, pair.old.port, 3) as sentinels:
        wait_until(lambda: sentinels.know_replicas(1), what="the sentinels know the replica")

        def switch(_: WorkerProcess) -> redis.Redis:
            pair.hold_in_step()
            pair.old.process.kill()
            wait_until(lambda: sentinels.master_ports() == {pair.new.port}, what="one is promoted")
            return pair.new.client()

        settings = settings_for(sentinels.url, broker_sentinel_master=MASTER)
        _everybody_goes_on(settings, tmp_path, dice, switch)
