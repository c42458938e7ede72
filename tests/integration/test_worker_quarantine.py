"""Whatever stands on a queue: it becomes a dead letter with its bytes and a cause, and the same worker goes on."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.messages.task_message import DECOMPRESSED_MAX
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from tests.support.counts import Counts
from tests.support.items import COMPRESSIONS
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess

QUEUE = "bridge.moods"


def envelope() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "test",
        "type": "Moody",
        "time": "2026-01-01T00:00:00Z",
        "data": {"user_id": str(uuid4()), "number": 1},
    }


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()


def item(*, headers: dict[str, Any] | None = None, without: str = "", **parts: Any) -> bytes:
    """A queue item as kombu writes it, with changes."""
    good_headers: dict[str, Any] = {
        "lang": "py",
        "task": "bridge.Moody",
        "id": str(uuid4()),
        "root_id": str(uuid4()),
        "timelimit": [None, None],
        **(headers or {}),
    }
    good_headers.pop(without, None)
    message = {
        "body": encoded(json.dumps([[[envelope()]], {}, {}]).encode()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": good_headers,
        "properties": {
            "correlation_id": str(uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
        **parts,
    }
    return json.dumps({name: value for name, value in message.items() if value is not ... and name != without}).encode()


LARGE = zlib.compress(bytes(2 * DECOMPRESSED_MAX), 1)

#: What stock Celery 5.7 drops, dies of, or reconnects over for ever.
MALFORMED = {
    "unknown task": item(headers={"task": "bridge.Unheard"}),
    "a task of Celery's own": item(headers={"task": "celery.accumulate"}),
    "no task": item(without="task"),
    "no id": item(without="id"),
    "id is a number": item(headers={"id": 7}),
    "unknown content type": item(**{"content-type": "application/x-unheard"}),
    "pickle": item(**{"content-type": "application/x-python-serialize", "content-encoding": "binary"}),
    "bad eta": item(headers={"eta": "tomorrow"}),
    "bad expires": item(headers={"expires": [1]}),
    "timelimit is a number": item(headers={"timelimit": 5}),
    "timelimit of words": item(headers={"timelimit": ["a", "b"]}),
    "retries is a word": item(headers={"retries": "many"}),
    "body is not UTF-8": item(body=encoded(b"\xff\xfe\x00")),
    "body is not JSON": item(body=encoded(b"{[")),
    "body is a JSON string": item(body=encoded(b'"hello"')),
    "body is an object": item(body=encoded(b'{"a":1}')),
    "body of two parts": item(body=encoded(b"[[],{}]")),
    "args is an object": item(body=encoded(b"[{},{},{}]")),
    "embed is a number": item(body=encoded(b"[[],{},5]")),
    "a chord": item(body=encoded(b'[[[]],{},{"chord":{"task":"x"}}]')),
    "body is no base64": item(body="%%%"),
    "body is null": item(body=None),
    "compressed, it says": item(headers={"compression": "application/x-gzip"}),
    "compression unheard of": item(headers={"compression": "x-unheard"}),
    "compression is a list": item(headers={"compression": ["application/x-gzip"]}),
    "cut off": item(headers={"compression": "application/x-gzip"}, body=encoded(zlib.compress(b"[[[]],{},{}]")[:-5])),
    "a small body of 128 MiB": item(headers={"compression": "application/x-gzip"}, body=encoded(LARGE)),
    "body encoding unheard of": item(properties={"body_encoding": "rot13", "delivery_tag": "1"}),
    "no properties": item(without="properties"),
    "properties is a list": item(properties=[]),
    "delivery info is a word": item(properties={"delivery_tag": "1", "delivery_info": "x", "body_encoding": "base64"}),
    "no headers": item(without="headers"),
    "headers is null": item(headers_=1).replace(b'"headers":', b'"headers": null, "was":'),
    "headers is a list": item(headers_=1).replace(b'"headers":', b'"headers": [], "was":'),
    "raw bytes": b"\x00\xff\x01 raw \xfe",
    "empty": b"",
    "a word": b"hello",
    "a JSON list": b"[1,2,3]",
    "a JSON number": b"7",
    "null": b"null",
    "nested deeply": b"[" * 100_000,
    # Celery's own parser takes these; pickling them for the pool, it dies with a place of the pool in its hand.
    "a body of 150 levels": item(body=encoded(b'[[[{"a":' + b"[" * 150 + b"]" * 150 + b"}]], {}, {}]")),
    "a body of 600 levels": item(body=encoded(b'[[[{"a":' + b"[" * 600 + b"]" * 600 + b"}]], {}, {}]")),
    "a header of 450 levels": item(headers={"x": "@"}).replace(b'"@"', b'{"a":' * 450 + b"1" + b"}" * 450),
    "a header of 900 levels": item(headers={"x": "@"}).replace(b'"@"', b"[" * 900 + b"]" * 900),
    "a property of 450 levels": item(
        properties={"body_encoding": "base64", "delivery_tag": "1", "reply_to": "@"}
    ).replace(b'"@"', b'{"a":' * 450 + b"1" + b"}" * 450),
    "a body of 950 levels": item(body=encoded(b'[[[{"a":' + b"[" * 950 + b"]" * 950 + b"}]], {}, {}]")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_celery_cannot_run_is_kept_and_the_next_message_is_handled(
    name: str, worker: WorkerProcess, settings: Settings, redis_client: redis.Redis
) -> None:
    pids = worker.children()
    redis_client.lpush(QUEUE, MALFORMED[name])
    redis_client.lpush(QUEUE, item())
    client = connect(settings)
    letters = DeadLetters(client, settings)
    counts = Counts(client)
    wait_until(lambda: counts.read()["published"] == 1 and letters.count() == 1, what=f"{name}: kept, next published")
    (letter,) = every_letter(letters)
    assert letter.raw == MALFORMED[name]
    assert letter.failure.stage == "message"
    assert letter.failure.message
    wait_until(lambda: not redis_client.exists(QUEUE, "unacked", "unacked_index"), what="all acknowledged")
    assert worker.process.poll() is None
    assert worker.children() == pids
    client.close()


def test_a_message_of_no_events_is_done_and_leaves_nothing(
    worker: WorkerProcess, settings: Settings, redis_client: redis.Redis
) -> None:
    redis_client.lpush(QUEUE, item(body=encoded(b"[[[]],{},{}]")))
    redis_client.lpush(QUEUE, item())
    client = connect(settings)
    wait_until(lambda: Counts(client).read()["published"] == 1, what="the next is published")
    wait_until(lambda: not redis_client.exists(QUEUE, "unacked"), what="all acknowledged")
    assert not redis_client.exists("bridge:open")
    assert DeadLetters(client, settings).count() == 0
    client.close()


def test_headers_that_would_drop_or_hold_a_message_are_ignored(
    worker: WorkerProcess, settings: Settings, redis_client: redis.Redis
) -> None:
    redis_client.lpush(QUEUE, item(headers={"expires": "2020-01-01T00:00:00+00:00"}))
    redis_client.lpush(QUEUE, item(headers={"eta": "2999-01-01T00:00:00+00:00"}))
    redis_client.lpush(QUEUE, item(headers={"callbacks": [{"task": "bridge.Moody", "args": [[]]}], "chain": 5}))
    client = connect(settings)
    wait_until(lambda: Counts(client).read()["published"] == 3, what="all published")
    wait_until(lambda: not redis_client.exists(QUEUE, "unacked"), what="all acknowledged")
    assert "outside body" not in worker.text()
    client.close()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_celery_can_decompress_is_published(
    compression: str, worker: WorkerProcess, settings: Settings, redis_client: redis.Redis
) -> None:
    body = COMPRESSIONS[compression][0](json.dumps([[[envelope()]], {}, {}]).encode())
    redis_client.lpush(QUEUE, item(headers={"compression": compression}, body=encoded(body)))
    client = connect(settings)
    wait_until(lambda: Counts(client).read()["published"] == 1, what="it is published")
    client.close()


def test_an_event_after_all_of_them_is_published(
    worker: WorkerProcess, settings: Settings, redis_client: redis.Redis
) -> None:
    for malformed in MALFORMED.values():
        redis_client.lpush(QUEUE, malformed)
    emitter = Emitter(settings, registry)
    emitter.emit(Moody(user_id=uuid4()))
    assert emitter.flush(WAIT_S)
    emitter.close()
    client = connect(settings)
    letters = DeadLetters(client, settings)
    wait_until(
        lambda: letters.count() == len(MALFORMED) and Counts(client).read()["published"] == 1,
        what="all kept",
    )
    client.close()


def test_a_letter_shows_what_to_do(worker: WorkerProcess, settings: Settings, redis_client: redis.Redis) -> None:
    redis_client.lpush(QUEUE, MALFORMED["unknown task"])
    client = connect(settings)
    letters = DeadLetters(client, settings)
    wait_until(letters.count, what="kept")
    (letter,) = every_letter(letters)
    assert "No task is called 'bridge.Unheard'" in letter.failure.message
    assert letter.task == "bridge.Unheard"
    assert letter.queue == QUEUE
    client.close()


def test_the_log_shows_no_payload(worker: WorkerProcess, tmp_path: Path) -> None:
    assert "raw \\xfe" not in worker.text()
