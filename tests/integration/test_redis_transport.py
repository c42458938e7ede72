"""The claiming Redis transport on a real server: nothing is lost in the fetch, and waiting costs nothing."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty
from typing import Any
from uuid import uuid4

import pytest
import redis
from kombu import Connection, Consumer, Exchange, Message, Producer, Queue

from bridge import Settings
from bridge.amqp_adapter.kombu_options import transport_options
from bridge.celery_runtime.config import consuming_transport
from bridge.celery_runtime.redis_channel import DELIVERIES_KEY
from bridge.redis_adapter.queue_watch import POLL_S
from bridge.redis_adapter.script import script
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT

QUEUES = tuple(f"bridge.test_{letter}" for letter in "abcdef")


def connection(redis_url: str, **options: Any) -> Connection:
    settings = Settings(broker_url=redis_url)
    return Connection(
        redis_url,
        transport=consuming_transport(settings),
        transport_options={**transport_options(settings), **options},
    )


def queues(names: tuple[str, ...] = QUEUES) -> list[Queue]:
    return [Queue(name, Exchange(""), routing_key=name) for name in names]


def publish(redis_url: str, queue: str, *bodies: object, **options: Any) -> None:
    with Connection(redis_url, transport_options=options) as stock:
        producer = Producer(stock)
        for body in bodies:
            producer.publish(body, routing_key=queue, serializer="json")


def drain(consuming: Connection, until: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not until():
        assert time.monotonic() < deadline, "not all messages arrived in time"
        try:
            consuming.drain_events(timeout=0.5)
        except TimeoutError:
            continue


class Sink:
    """A consumer that keeps what it gets, and acknowledges if told to."""

    def __init__(self, channel: Any, names: tuple[str, ...] = QUEUES, *, acknowledge: bool = True) -> None:
        self.got: list[Message] = []
        self.at: list[float] = []
        self._acknowledge = acknowledge
        self.consumer = Consumer(channel, queues(names), on_message=self._take, accept=["json"])
        self.consumer.consume()

    def _take(self, message: Message) -> None:
        self.at.append(time.perf_counter())
        self.got.append(message)
        if self._acknowledge:
            message.ack()

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.got]


@pytest.fixture
def consuming(redis_url: str) -> Iterator[Connection]:
    with connection(redis_url) as made:
        yield made


@pytest.mark.parametrize("prefix", ["", "team:"])
def test_what_stock_producers_send_arrives_in_order_and_leaves_nothing(redis_url, redis_client, prefix) -> None:
    options = {"global_keyprefix": prefix}
    publish(redis_url, QUEUES[0], *range(300), **options)
    with connection(redis_url, **options) as consuming:
        sink = Sink(consuming.channel())
        drain(consuming, lambda: len(sink.got) == 300)
        assert sink.bodies == list(range(300))
        wait_until(lambda: _tick(consuming) or not redis_client.exists(f"{prefix}unacked"), what="all acknowledged")
        assert not redis_client.exists(f"{prefix}unacked_index")


def _tick(consuming: Connection) -> None:
    try:
        consuming.drain_events(timeout=0.05)
    except TimeoutError:
        return


def test_a_message_is_never_in_no_place(redis_url, redis_client, consuming) -> None:
    publish(redis_url, QUEUES[0], *range(10))
    channel = consuming.channel()
    channel.basic_qos(0, 3, False)
    sink = Sink(channel, acknowledge=False)
    drain(consuming, lambda: len(sink.got) == 3)
    assert redis_client.hlen("unacked") == redis_client.zcard("unacked_index") == 3
    assert redis_client.llen(QUEUES[0]) == 7


def test_prefetch_bounds_hold_and_move_on_with_acknowledgements(redis_url, redis_client, consuming) -> None:
    publish(redis_url, QUEUES[0], *range(20))
    channel = consuming.channel()
    channel.basic_qos(0, 4, False)
    sink = Sink(channel, acknowledge=False)
    for done in range(20):
        drain(consuming, lambda done=done: len(sink.got) > done)
        assert redis_client.hlen("unacked") <= 4
        sink.got[done].ack()
    assert sink.bodies == list(range(20))


def test_no_queue_starves_another(redis_url, consuming) -> None:
    publish(redis_url, QUEUES[0], *["busy"] * 200)
    publish(redis_url, QUEUES[1], "quiet")
    channel = consuming.channel()
    channel.basic_qos(0, 4, False)
    sink = Sink(channel)
    drain(consuming, lambda: "quiet" in sink.bodies)
    assert len(sink.got) <= 20


def test_an_idle_worker_gets_a_message_at_once_and_asks_redis_little(redis_url, redis_client, consuming) -> None:
    channel = consuming.channel()
    sink = Sink(channel)
    _tick(consuming)
    sent: list[float] = []

    def produce() -> None:
        with Connection(redis_url) as stock:
            producer = Producer(stock)
            producer.publish(0, routing_key=QUEUES[0], serializer="json")
            for number in range(1, 40):
                time.sleep(0.03)
                sent.append(time.perf_counter())
                producer.publish(number, routing_key=QUEUES[number % 6], serializer="json")

    thread = threading.Thread(target=produce)
    thread.start()
    drain(consuming, lambda: len(sink.got) == 40)
    thread.join()
    waits_s = sorted(at - begin for begin, at in zip(sent, sink.at[1:], strict=True))
    assert waits_s[len(waits_s) // 4] < POLL_S / 10  # the machine may be busy for the others
    before = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        _tick(consuming)
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 2


def test_a_server_that_cannot_tell_of_changes_is_asked_often(redis_url, redis_client) -> None:
    redis_client.execute_command("ACL", "SETUSER", "poor", "on", ">word", "~*", "&*", "+@all", "-client|tracking")
    url = redis_url.replace("redis://", "redis://poor:word@")
    with connection(url) as consuming:
        sink = Sink(consuming.channel())
        _tick(consuming)
        publish(redis_url, QUEUES[2], "hello")
        begin = time.perf_counter()
        drain(consuming, lambda: sink.got)
        assert time.perf_counter() - begin < 2 * PATIENCE
    redis_client.execute_command("ACL", "DELUSER", "poor")


def test_scripts_flushed_from_the_server_are_sent_again(redis_url, redis_client, consuming) -> None:
    sink = Sink(consuming.channel())
    publish(redis_url, QUEUES[0], 1)
    drain(consuming, lambda: len(sink.got) == 1)
    redis_client.script_flush()
    publish(redis_url, QUEUES[0], 2)
    drain(consuming, lambda: len(sink.got) == 2)


def test_an_orderly_end_gives_back_what_was_not_done_in_its_old_order(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], *range(10))
    with connection(redis_url) as first:
        channel = first.channel()
        channel.basic_qos(0, 5, False)
        sink = Sink(channel, acknowledge=False)
        drain(first, lambda: len(sink.got) == 5)
        sink.got[0].ack()
        sink.consumer.cancel()
    assert redis_client.llen(QUEUES[0]) == 9
    assert not redis_client.exists("unacked", DELIVERIES_KEY)
    with connection(redis_url) as second:
        sink = Sink(second.channel())
        drain(second, lambda: len(sink.got) == 9)
        assert sink.bodies == list(range(1, 10))


CLAIM_AND_STOP = """
import os, signal, sys
from tests.integration.test_redis_transport import Sink, connection, drain
consuming = connection(sys.argv[1])
channel = consuming.channel()
sink = Sink(channel, acknowledge=False)
drain(consuming, lambda: sink.got)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _die_holding(redis_url: str) -> None:
    """A process that claims what is there and is killed with it."""
    result = subprocess.run(
        [sys.executable, "-c", CLAIM_AND_STOP, redis_url], cwd=ROOT, timeout=PROCESS_TIMEOUT_S, check=False
    )
    assert result.returncode == -signal.SIGKILL


def _expect_back(redis_url: str, deaths: int) -> None:
    """Another worker gets both messages, in order, with the number of deaths; and ends in good order."""
    with connection(redis_url, visibility_timeout=1) as other:
        channel = other.channel()
        sink = Sink(channel, acknowledge=False)
        wait_until(lambda: channel.qos.restore_visible() or _tick(other) or len(sink.got) == 2, what="both came back")
        assert [message.headers["bridge_deliveries"] for message in sink.got] == [deaths, deaths]
        assert sink.bodies == ["a", "b"]


def test_what_a_killed_worker_held_comes_back_by_redis_clock_and_is_counted(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], "a", "b")
    for death in range(1, 3):
        _die_holding(redis_url)
        assert redis_client.hlen("unacked") == 2
        _expect_back(redis_url, death)
    with connection(redis_url) as last:
        sink = Sink(last.channel())
        drain(last, lambda: len(sink.got) == 2)
        wait_until(lambda: _tick(last) or not redis_client.exists(DELIVERIES_KEY), what="the count is forgotten")


def test_a_living_worker_keeps_what_it_holds_however_long(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], "slow")
    with connection(redis_url, visibility_timeout=1) as holder, connection(redis_url, visibility_timeout=1) as thief:
        channel = holder.channel()
        sink = Sink(channel, acknowledge=False)
        drain(holder, lambda: sink.got)
        stolen = Sink(thief.channel())
        end = time.monotonic() + 3
        while time.monotonic() < end:
            channel.qos.restore_visible()
            thief.default_channel.qos.restore_visible()
            _tick(thief)
        assert not stolen.got


def test_a_worker_whose_clock_is_hours_ahead_steals_nothing(redis_url, redis_client, monkeypatch) -> None:
    publish(redis_url, QUEUES[0], "mine")
    with connection(redis_url) as holder, connection(redis_url) as thief:
        sink = Sink(holder.channel(), acknowledge=False)
        drain(holder, lambda: sink.got)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 7200)
        stolen = Sink(thief.channel())
        thief.default_channel.qos.restore_visible()
        _tick(thief)
        assert not stolen.got
        assert redis_client.hlen("unacked") == 1


def test_a_stock_worker_can_take_over_what_we_held(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], {"number": 1})
    _die_holding(redis_url)
    tag, _ = redis_client.zrange("unacked_index", 0, -1, withscores=True)[0]
    raw, exchange, routing_key = json.loads(redis_client.hget("unacked", tag))
    assert (exchange, routing_key) == ("", QUEUES[0])
    assert raw["headers"] == {}
    redis_client.zadd("unacked_index", {tag: 1})
    with Connection(redis_url, transport_options={"visibility_timeout": 1, "priority_steps": [0]}) as stock:
        channel = stock.channel()
        sink = Sink(channel)
        wait_until(lambda: channel.qos.restore_visible() or _tick(stock) or sink.got, what="the stock worker has it")
        assert sink.bodies == [{"number": 1}]


def test_what_a_stock_worker_held_is_restored(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], "old")
    with Connection(redis_url, transport_options={"priority_steps": [0]}) as stock:
        channel = stock.channel()
        sink = Sink(channel, acknowledge=False)
        drain(stock, lambda: sink.got)
        redis_client.zadd("unacked_index", {redis_client.zrange("unacked_index", 0, -1)[0]: 1})
        with connection(redis_url) as other:
            ours = Sink(other.channel())
            wait_until(
                lambda: other.default_channel.qos.restore_visible() or _tick(other) or ours.got, what="we have it"
            )
            assert ours.bodies == ["old"]
        channel.qos._delivered.clear()


def test_an_acknowledgement_survives_the_loss_of_its_connection(redis_url, redis_client) -> None:
    publish(redis_url, QUEUES[0], "long")
    consuming = connection(redis_url)
    channel = consuming.channel()
    sink = Sink(channel, acknowledge=False)
    drain(consuming, lambda: sink.got)
    channel.qos._delivered.clear()  # as after a lost connection: nothing can be given back
    consuming.release()
    assert redis_client.hlen("unacked") == 1
    sink.got[0].ack()
    assert not redis_client.exists("unacked")


def test_a_channel_goes_on_when_only_its_connections_are_cut(redis_url, redis_client, consuming) -> None:
    sink = Sink(consuming.channel())
    for number in range(1, 4):
        _tick(consuming)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        publish(redis_url, QUEUES[0], str(uuid4()))
        drain(consuming, lambda expected=number: len(sink.got) == expected)


def test_what_a_claim_took_whose_answer_was_cut_off_comes_again(redis_url, redis_client, consuming) -> None:
    channel = consuming.channel()
    sink = Sink(channel)
    _tick(consuming)
    publish(redis_url, QUEUES[0], *(ids := [str(uuid4()) for _ in range(3)]))
    channel._idle = False
    channel._brpop_start()
    wait_until(lambda: redis_client.hlen("unacked") == 3, what="the claim is made")
    redis_client.client_kill_filter(_type="normal", skipme=True)
    channel.client.connection._sock.shutdown(socket.SHUT_RDWR)  # or the answer could be read all the same
    with suppress(Empty):
        channel._brpop_read()
    drain(consuming, lambda: len(sink.got) == 3)
    assert sorted(message.payload for message in sink.got) == sorted(ids)


def test_the_order_of_tags_is_unique(redis_url, consuming) -> None:
    publish(redis_url, QUEUES[0], *[str(uuid4()) for _ in range(250)])
    sink = Sink(consuming.channel())
    drain(consuming, lambda: len(sink.got) == 250)
    assert len({message.delivery_tag for message in sink.got}) == 250


def test_a_claim_takes_few_of_what_is_large(redis_client: redis.Redis) -> None:
    """Who claims two hundred messages of a megabyte has them in memory all at once."""
    names = {"unacked": "unacked", "unacked_index": "index", "deliveries": "deliveries"}

    def claimed(size: int) -> int:
        redis_client.flushall()
        redis_client.lpush("q", *[b"x" * size] * 200)
        return len(script("claim").run(redis_client, [200, "t:", "q"], ["q"], **names)) // 4

    assert claimed(1_000) == 200
    assert claimed(100_000) < 100
