"""A Redis that was set back, by a lagging replica or a restore, is noticed by whoever knew more; once, and for all."""

from pathlib import Path
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from bridge.catalogs.finance import REGISTRY
from bridge.model.position import Position
from bridge.model.registry import User
from bridge.operations.audit import Auditor
from bridge.operations.status import StatusReader
from bridge.redis_adapter import connect, connect_async, read_balance
from bridge.redis_adapter.event_log import History
from bridge.redis_adapter.task_queue import Entries
from bridge.settings import Settings
from bridge.wiring import open_store, store_of
from tests.support import keys
from tests.support.gateway import Listener, running_gateway
from tests.support.waiting import wait_until

OLDER = "1000-0"


def _messages(number: int) -> list[tuple[str, str, str, bytes]]:
    return [(str(uuid4()), "bridge.FileImportFailed", "bridge.import", uuid4().bytes) for _ in range(number)]


def _set_back(client: redis.Redis, accepted: int) -> None:
    """As if a replica that had no more than this became the master."""
    client.delete("bridge:open")
    client.hset("bridge:counts", mapping={"accepted": accepted, "open": accepted})
    client.set("sse:position", OLDER)
    client.set("sse:position:began", "1-0")


@pytest.fixture
def senders(settings: Settings, redis_client: redis.Redis) -> list[Entries]:
    """Of two producers, which have seen ten accepted events, and eleven."""
    client = connect(settings)
    one, two = Entries(client), Entries(client)
    one.enter(_messages(10))
    two.enter(_messages(1))
    return [one, two]


def test_what_redis_forgot_is_counted_once_however_many_notice(
    settings: Settings, redis_client: redis.Redis, senders: list[Entries]
) -> None:
    _set_back(redis_client, 4)
    senders[0].enter(_messages(1))
    senders[1].enter(_messages(1))
    senders[0].enter(_messages(1))
    balance = read_balance(redis_client)
    assert (balance.accepted, balance.set_back) == (14, 7)
    assert not balance.difference


def test_nothing_is_set_back_while_redis_keeps_what_it_has(redis_client: redis.Redis, senders: list[Entries]) -> None:
    for sender in (*senders, *reversed(senders)):
        sender.enter(_messages(3))
    assert read_balance(redis_client).set_back == 0
    assert redis_client.exists("sse:position:began") == 0


async def test_a_client_that_reads_on_is_told_that_it_may_have_missed_something(
    settings: Settings, redis_client: redis.Redis, senders: list[Entries]
) -> None:
    _set_back(redis_client, 4)
    senders[0].enter(_messages(1))
    client = connect_async(settings)
    page = await History(client, settings).read([User(uuid4())], Position("2000-0"))
    await client.aclose()
    assert not page.complete


async def test_a_gateway_that_heard_what_redis_forgot_begins_the_order_anew(
    settings: Settings, redis_client: redis.Redis
) -> None:
    user, event = uuid4(), uuid4()
    message = (
        f'{{"event_id":"{event}","event_type":"import.failed","user_id":"{user}","data":{{}},'
        f'"occurred_at":"2026-01-01T00:00:00+00:00","position":"5000-0"}}'
    ).encode()
    channel = keys.channel(User(user))
    client = connect_async(settings)
    history = History(client, settings)
    redis_client.set("sse:position", "6000-0")
    redis_client.set(keys.seen(User(user), event), "5000-0")
    assert await history.vouch(channel, message)
    assert redis_client.get("sse:position:began") is None

    redis_client.delete(keys.seen(User(user), event))
    assert not await history.vouch(channel, message)
    began = redis_client.get("sse:position:began")
    assert Position(str(began)) > Position("6000-0")
    assert not await history.vouch(channel, message)
    assert redis_client.get("sse:position:began") == began, "another gateway has noticed already"
    await client.aclose()


def test_a_client_that_lost_no_event_itself_is_told_as_well(
    settings: Settings, redis_client: redis.Redis, senders: list[Entries], tmp_path: Path
) -> None:
    with running_gateway(tmp_path, {"BRIDGE_BROKER_URL": settings.broker_url}) as url:
        listener = Listener(url, uuid4())
        wait_until(lambda: redis_client.hlen("bridge:gateways") == 1, what="the gateway has looked once")
        _set_back(redis_client, 0)
        senders[1].enter(_messages(1))  # it notices that Redis was set back
        (told,) = listener.wait_for(1)
        assert told.event == "stream.reset"
        listener.close()


def test_what_a_worker_held_meanwhile_arrived_all_the_same(
    settings: Settings, redis_client: redis.Redis, senders: list[Entries]
) -> None:
    _set_back(redis_client, 9)
    senders[1].enter(_messages(1))
    redis_client.hincrby("bridge:counts", "unbooked", 2)
    redis_client.hincrby("bridge:counts", "published", 2)
    with connect(settings) as client:
        balance = read_balance(client)
        assert (balance.set_back, balance.unbooked, balance.balanced) == (0, 0, True)
        Auditor(store_of(client, settings), settings, REGISTRY).audit(grace_s=3600, write_off="nothing is missing")
    assert redis_client.hmget("bridge:counts", "set_back", "unbooked", "written_off") == ["0", "0", None]


def test_status_and_audit_say_so_until_it_is_written_off(
    settings: Settings, redis_client: redis.Redis, senders: list[Entries]
) -> None:
    _set_back(redis_client, 0)
    senders[1].enter(_messages(1))
    with connect(settings) as client:
        found = Auditor(store_of(client, settings), settings, REGISTRY).audit(grace_s=3600)
        assert not found.clean
        assert found.balance.set_back == 11
        reader = StatusReader(open_store(settings, briefly=True), settings, REGISTRY)
        assert any("was set back: at least 11 events" in fault.sentence for fault in reader.read().faults)

        written_off = Auditor(store_of(client, settings), settings, REGISTRY).audit(
            grace_s=3600, write_off="they were sent again"
        )
        assert written_off.written_off == 11
        assert not any("was set back" in fault.sentence for fault in reader.read().faults)
        balance = read_balance(client)
        assert (balance.set_back, balance.written_off, balance.difference) == (0, 11, 0)
