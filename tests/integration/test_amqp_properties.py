"""What RabbitMQ passes on and py-amqp cannot read ends as one letter with its bytes, and the same worker goes on."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
import redis
from kombu import Connection

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters
from tests.support.brokers import QUEUE, TASK, body_of, envelope
from tests.support.counts import Counts
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

CONTENT_TYPE, HEADERS, CORRELATION_ID, TIMESTAMP = 1 << 15, 1 << 13, 1 << 10, 1 << 6
"""Flags of AMQP's properties, in the order of their values."""


def _field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


def _long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _arrays(levels: int) -> bytes:
    """Arrays within each other, without their first letter."""
    value = _long(b"")
    for _ in range(levels - 1):
        value = _long(b"A" + value)
    return value


GOOD = _field(b"task", b"S", _long(TASK.encode())) + _field(b"id", b"S", _long(b"7"))


def _table(further: bytes = b"") -> bytes:
    return _long(GOOD + further)


UNREADABLE = {
    "5,000 levels": (HEADERS, _table(_field(b"x", b"A", _arrays(5_000)))),
    "700 levels": (HEADERS, _table(_field(b"x", b"A", _arrays(700)))),
    "a time in a header": (HEADERS, _table(_field(b"x", b"T", struct.pack(">Q", 2**63)))),
    "a time": (HEADERS | TIMESTAMP, _table() + struct.pack(">Q", 2**64 - 1)),
    "a name of no text": (HEADERS, _table(_field(b"\xff\xfe", b"t", b"\x01"))),
    "a content type of no text": (CONTENT_TYPE | HEADERS, b"\x02\xff\xfe" + _table()),
    "a content type of half a letter": (CONTENT_TYPE | HEADERS, b"\x03\xed\xa0\x80" + _table()),
    "a correlation id of no text": (HEADERS | CORRELATION_ID, _table() + b"\x02\xff\xfe"),
}
"""Flags and bytes of properties."""


class _Raw(amqp.Message):
    """A message with any bytes as its properties."""

    def __init__(self, body: bytes, flags: int, values: bytes) -> None:
        super().__init__(body)
        self.raw = struct.pack(">H", flags) + values

    def _serialize_properties(self) -> bytes:
        return self.raw


@pytest.fixture(scope="module")
def url(amqp_url: str) -> str:
    return amqp_url


@pytest.fixture(scope="module")
def worker(url: str, redis_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    settings = Settings(broker_url=url, redis_url=redis_server.url)
    with running_worker(folder, moody_environment(settings, folder)) as worker:
        yield worker


@pytest.mark.parametrize("name", UNREADABLE)
def test_properties_that_nobody_can_read_are_one_letter(
    name: str, url: str, worker: WorkerProcess, redis_server: EmbeddedServer, redis_client: redis.Redis
) -> None:
    settings = Settings(broker_url=url, redis_url=redis_server.url)
    pids = worker.children()
    body = body_of(envelope())
    _put(url, _Raw(body, *UNREADABLE[name]))
    emitter = Emitter(settings, registry)
    assert emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    emitter.close()
    wait_until(lambda: Counts(redis_client).read()["published"] == 1, what="what stands behind it is published")
    (letter,) = every_letter(DeadLetters(redis_client, settings))
    parts: dict[str, Any] = json.loads(letter.raw)
    assert base64.b64decode(parts["body"]) == body
    assert letter.failure.stage == "message"
    assert worker.process.poll() is None
    assert worker.children() == pids


def _put(url: str, message: _Raw) -> None:
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        connection.channel().basic_publish(message, exchange="", routing_key=QUEUE)
