"""A message that was settled on a server which is the master no more is not acknowledged to the one that is."""

import json
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from kombu import Connection, Message

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY, FileImportFailed
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.model.retry import LEASE_S, RESEND_S, RetryRecord
from bridge.redis_adapter import (
    DeadLetters,
    MasterWatch,
    RedisTaskQueue,
    RetrySet,
    StoreClock,
    Workers,
    connect,
    read_balance,
    watch_server,
)
from bridge.redis_adapter.kombu_support import BREAKS, script
from bridge.wiring import worker_ports
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from bridge.worker.mover import RetryMover, Router
from bridge.worker.quarantine import Quarantine
from tests.integration.test_redis_transport import Sink, connection, drain
from tests.support.letters import a_letter
from tests.support.own_redis import RedisServer
from tests.support.pairs import Pair, running_pair
from tests.support.proxy import Proxy
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

MAPPING = REGISTRY.mapping_of_task("bridge.FileImportFailed")
assert MAPPING is not None
QUEUE = REGISTRY.queue_of(MAPPING)


@dataclass(frozen=True, slots=True)
class Worker:
    """What of a worker claims and acknowledges, behind a name that moves."""

    pair: Pair
    name: Proxy
    connection: Connection
    sink: Sink

    @property
    def channel(self) -> ClaimingChannel:
        return self.sink.consumer.channel

    def claim(self) -> Message:
        drain(self.connection, lambda: self.sink.got)
        return self.sink.got.pop()

    def move(self) -> None:
        """The name leads to the new master, and every connection to the old one breaks."""
        self.pair.demote()
        self.name.move(self.pair.new.port)
        self.name.cut()

    def reconnect(self, *, running: Collection[str] = ()) -> "Worker":
        """As Celery does when a connection broke; of what runs it knows the delivery tags."""
        new = _worker(self.pair, self.name)
        new.channel.running = lambda: running
        new.channel.inherit(self.channel)
        return new


def _worker(pair: Pair, name: Proxy) -> Worker:
    made = connection(f"redis://127.0.0.1:{name.port}/0")
    return Worker(pair, name, made, Sink(made.channel(), (QUEUE,), acknowledge=False))


@pytest.fixture
def named() -> Iterator[tuple[Pair, Proxy]]:
    """A pair, and a name that leads to its master."""
    with running_pair() as pair, Proxy(pair.old.port, random.Random(1)) as name:
        yield pair, name


@pytest.fixture
def worker(named: tuple[Pair, Proxy]) -> Iterator[Worker]:
    worker = _worker(*named)
    yield worker
    worker.channel.qos._delivered.clear()  # or it would be given back as this process ends


def _emit(pair: Pair) -> None:
    emitter = Emitter(Settings(broker_url=pair.old.url), REGISTRY)
    emitter.emit(FileImportFailed(user_id=uuid4(), file_name="a", reason="b"))
    assert emitter.flush(WAIT_S)
    emitter.close()


def _send_unannounced(pair: Pair) -> None:
    """A message as a producer sends it that knows nothing of the accounting."""
    _emit(pair)
    with pair.old.client() as client:
        message = json.loads(client.rpop(QUEUE))
        del message["headers"]["bridge_booked"]
        client.delete("bridge:open", "bridge:counts")
        client.lpush(QUEUE, json.dumps(message))


def _settle(message: Message, url: str) -> None:
    """As a process of the pool does, over connections of its own."""
    settings, envelopes = Settings(broker_url=url), message.payload[0][0]
    booked_as = message.headers.get("bridge_booked", "")
    job = Job(mapping=MAPPING, envelopes=envelopes, attempt=1, message_id=message.headers["id"], booked_as=booked_as)
    assert Handler(settings, REGISTRY, worker_ports(settings, REGISTRY)).run([job]) == 1


def _acknowledge(message: Message) -> None:
    message.ack()
    with suppress(*BREAKS):
        message.channel.qos.flush_acknowledgements()


def _expect_published_once(pair: Pair) -> None:
    with connect(Settings(broker_url=pair.new.url)) as client:
        balance = read_balance(client)
        assert (balance.accepted, balance.published, balance.open, balance.difference) == (1, 1, 0, 0), balance
        assert not client.exists("unacked", QUEUE)


@pytest.mark.parametrize("send", [_emit, _send_unannounced])
@pytest.mark.parametrize("runs_on", [False, True])
def test_what_the_old_master_settled_last_runs_again(
    worker: Worker, send: Callable[[Pair], None], runs_on: bool
) -> None:
    send(worker.pair)
    message = worker.claim()
    worker.pair.part()
    _settle(message, worker.pair.old.url)
    if not runs_on:
        message.ack()
    worker.move()
    if runs_on:
        new = worker.reconnect(running={message.delivery_tag})
        _acknowledge(message)
    else:
        with suppress(*BREAKS):
            worker.channel.qos.flush_acknowledgements()
        new = worker.reconnect()
    again = new.claim()
    assert again.headers["id"] == message.headers["id"]
    _settle(again, worker.pair.new.url)
    _acknowledge(again)
    _expect_published_once(worker.pair)


def test_what_the_new_master_has_published_is_recognised(worker: Worker) -> None:
    _emit(worker.pair)
    message = worker.claim()
    worker.pair.part()
    worker.move()
    _settle(message, worker.pair.new.url)
    _acknowledge(message)
    again = worker.reconnect().claim()
    _settle(again, worker.pair.new.url)
    _acknowledge(again)
    _expect_published_once(worker.pair)


def test_a_server_that_had_another_memory_meanwhile_is_another_one(worker: Worker) -> None:
    """It is the same process at the same address, and knows what its master of between knew."""
    _emit(worker.pair)
    message = worker.claim()
    worker.pair.part()
    _settle(message, worker.pair.old.url)
    message.ack()
    worker.pair.demote()
    with worker.pair.old.client() as old, worker.pair.new.client() as new:
        wait_until(lambda: old.info("replication").get("master_link_status") == "up", what="it follows")
        assert old.hlen("unacked") == new.hlen("unacked") == 1
        old.execute_command("REPLICAOF", "NO", "ONE")
    worker.name.cut()
    with suppress(*BREAKS):
        worker.channel.qos.flush_acknowledgements()
    again = worker.reconnect().claim()
    assert again.headers["id"] == message.headers["id"]
    _acknowledge(again)


def test_what_was_quarantined_on_the_old_master_is_quarantined_again(worker: Worker) -> None:
    def quarantine(url: str) -> Quarantine:
        settings = Settings(broker_url=url)
        client = connect(settings)
        return Quarantine(DeadLetters(client, settings), StoreClock(client))

    with worker.pair.old.client() as client:
        client.lpush(QUEUE, b"garbage")

    def strike(raw: bytes, queue: str, error: Exception) -> None:
        worker.pair.part()
        quarantine(worker.pair.old.url)(raw, queue, error)
        worker.move()

    worker.channel.quarantine = strike
    with suppress(*BREAKS):
        drain(worker.connection, lambda: False, timeout_s=0.5)
    new = worker.reconnect()
    new.channel.quarantine = quarantine(worker.pair.new.url)
    settings = Settings(broker_url=worker.pair.new.url)
    with connect(settings) as client:
        letters = DeadLetters(client, settings)
        wait_until(lambda: new.channel.restore_abandoned(0) or _turn(new) or letters.count() == 1, what="it is kept")


def _turn(worker: Worker) -> None:
    with suppress(TimeoutError):
        worker.connection.drain_events(timeout=0.05)


def test_a_pool_writes_where_its_worker_claims(named: tuple[Pair, Proxy], tmp_path: Path) -> None:
    """As after a master that stood still: it goes on as one for a while, and idle connections to it are kept."""
    pair, name = named
    settings = Settings(broker_url=f"redis://127.0.0.1:{name.port}/0")
    with (
        running_worker(tmp_path, {"BRIDGE_BROKER_URL": settings.broker_url}, "--concurrency=1") as process,
        pair.old.client() as old,
        pair.new.client() as new,
    ):
        _emit(pair)
        wait_until(lambda: read_balance(old).published == 1, what="the pool is connected")
        pair.part()
        name.move(pair.new.port)
        name.cut(process.ports_to(name.port))
        emitter = Emitter(Settings(broker_url=pair.new.url), REGISTRY)
        emitter.emit(FileImportFailed(user_id=uuid4(), file_name="a", reason="b"))
        wait_until(lambda: read_balance(new).published == 2, what="it is published on the new master")
        emitter.close()
        assert read_balance(old).published == 1


def test_connections_that_lead_elsewhere_are_made_anew_or_told_of(named: tuple[Pair, Proxy]) -> None:
    pair, name = named
    settings = Settings(broker_url=f"redis://127.0.0.1:{name.port}/0")
    with connect(settings) as client:
        watch = MasterWatch(client, settings)
        is_kept = watch.begin(_name_of(pair.old))
        client.set("key", "old")
        assert is_kept()
        pair.part()
        name.move(pair.new.port)
        is_kept = watch.begin(_name_of(pair.new))
        client.set("key", "new")
        assert is_kept()
        with pair.new.client() as new:
            assert new.get("key") == b"new"
        is_kept = watch.begin(_name_of(pair.old))
        client.set("key", "newer")
        assert not is_kept()
        with pair.old.client() as old:
            assert old.get("key") == b"old"


def test_a_retry_that_went_to_the_old_master_is_moved_again_soon(named: tuple[Pair, Proxy]) -> None:
    pair, name = named
    settings = Settings(broker_url=f"redis://127.0.0.1:{name.port}/0")
    client, queue = connect(settings), RedisTaskQueue(settings)
    server = watch_server(settings, client, queue)
    retries = RetrySet(client, settings)
    letters = Quarantine(DeadLetters(client, settings), StoreClock(client))
    mover = RetryMover(retries, queue, letters, Router(REGISTRY, Workers(client)), lambda: server.moves)
    _let_wait(retries)
    mover.move()
    with pair.old.client() as old, pair.new.client() as new:
        assert (old.llen(QUEUE), new.llen(QUEUE)) == (1, 1)
        pair.part()
        name.move(pair.new.port)
        client.connection_pool.disconnect()  # the queue's connection leads to the old one still
        event_id = _let_wait(RetrySet(new, settings))
        mover.move()
        assert (old.llen(QUEUE), new.llen(QUEUE)) == (2, 1)
        due_ms, (seconds, _) = new.zscore("bridge:retry:due", event_id), new.time()
        assert due_ms - seconds * 1000 <= (LEASE_S + 1) * 1000
        new.zadd("bridge:retry:due", {event_id: 1})  # its lease has ended
        mover.move()
        assert new.llen(QUEUE) == 2
        assert new.zscore("bridge:retry:due", event_id) - seconds * 1000 > RESEND_S * 1000
    queue.close()
    client.close()


def _let_wait(retries: RetrySet) -> str:
    """A retry that is due."""
    event = FileImportFailed(user_id=uuid4(), file_name="a", reason="b")
    letter = a_letter(task="bridge.FileImportFailed", letter_id=str(event.event_id))
    record = RetryRecord(
        event_id=letter.letter_id, task=letter.task, queue=QUEUE, envelope=letter.envelope, attempts=letter.attempts
    )
    retries.add([(record, 0.0)])
    return record.event_id


def test_a_replica_is_not_taken_for_a_server_that_has_nothing(named: tuple[Pair, Proxy]) -> None:
    pair, _ = named
    names = {"unacked": "unacked", "unacked_index": "unacked_index", "deliveries": "deliveries"}
    with pair.old.client() as old, pair.new.client() as new:
        old.lpush(QUEUE, b"waits", b"is claimed")
        tag = script("claim").run(old, [1, "t:", QUEUE], [QUEUE], **names)[0]
        wait_until(lambda: new.hlen("unacked"), what="it is replicated")
        with pytest.raises(redis.ReadOnlyError):
            script("claim").run(new, [1, "u:", QUEUE], [QUEUE], **names)
        with pytest.raises(redis.ReadOnlyError):
            script("restore").run(new, [-1, 1, 0, "", tag], **names)


def _name_of(server: RedisServer) -> str:
    """As a worker's channel has it."""
    with connection(server.url) as made:
        return str(made.channel().server.name)


def test_an_acknowledgement_outlives_a_connection_to_the_same_server(worker: Worker) -> None:
    _emit(worker.pair)
    message = worker.claim()
    _settle(message, worker.pair.old.url)
    message.ack()
    worker.name.cut()
    with suppress(*BREAKS):
        worker.channel.qos.flush_acknowledgements()
    worker.reconnect()
    with worker.pair.old.client() as client:
        assert not client.exists("unacked", QUEUE)
