"""60 KB and 1 MB of hostile text on a queue, stream or channel, in a spool or a request: who is behind is served."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from bridge import Emitter, Settings, User
from bridge.catalogs.finance import REGISTRY
from bridge.redis_adapter import connect
from tests.support import keys
from tests.support.brokers import Put, envelope, put_on_rabbitmq, put_on_redis
from tests.support.gateway import COMMAND, UVICORN, gateway_process
from tests.support.growth import HOSTILE, hostile
from tests.support.moody_catalog import Moody, registry
from tests.support.producers import event, numbers
from tests.support.promptness import busyness, slowest_s
from tests.support.slow import ask, read_until, request
from tests.support.spool import leave_spool, plant
from tests.support.streams import SECRET, Source
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

SIZES = (60_000, 1_000_000)


def _text(piece: str, size: int) -> str:
    """A text that takes so many bytes as JSON."""
    return hostile(piece)(size * len(piece) // (len(json.dumps(piece, ensure_ascii=False).encode()) - 2))


TEXTS = {f"{size} bytes of {name}": _text(piece, size) for name, piece in HOSTILE.items() for size in SIZES}

Do = Callable[[], object]


def _bodies(text: str) -> dict[str, bytes]:
    """The text as a message's body, as envelopes, and in a field and the names of one."""
    told = envelope(data={"user_id": str(uuid4()), "number": 1, "mode": text})
    third = text[: len(text) // 3]
    named = envelope(source=third, data={"user_id": third, third: 1})
    return {
        "body": text.encode(),
        "envelopes": b"[[[" + text.encode() + b'],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]',
        "field": json.dumps([[[told]], {}, {}], ensure_ascii=False).encode(),
        "names": json.dumps([[[named]], {}, {}], ensure_ascii=False).encode(),
    }


def _messages(put: Put, raw: Callable[[bytes], object] | None) -> dict[str, Do]:
    """Every text in every place of a message; on Redis also as what stands on the queue itself."""
    found: dict[str, Do] = {}
    for name, text in TEXTS.items():
        for place, body in _bodies(text).items():
            found[f"{place}: {name}"] = lambda body=body: put(body)  # type: ignore[misc]
        if raw:
            found[f"item: {name}"] = lambda text=text: raw(text.encode())  # type: ignore[misc]
            found[f"header: {name}"] = lambda text=text: put(b"[[[]],{},{}]", headers={"id": text})  # type: ignore[misc]
    return found


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_worker_stands_still_for_no_message(servers: tuple[str, str], tmp_path: Path, broker: str) -> None:
    broker_url, store_url = servers
    settings = Settings(broker_url=broker_url, redis_url=store_url)
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REDIS_URL": settings.redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    with connect(settings) as client, closing(Emitter(settings, registry)) as emitter:

        def an_event(name: str) -> float:
            event, begun = Moody(user_id=uuid4()), time.time()
            assert emitter.emit(event)
            stream = keys.stream(User(event.user_id))
            wait_until(lambda: client.exists(stream), what=f"what is behind {name} is published")
            ((position, _),) = client.xrange(stream)
            return int(position.split(b"-")[0]) / 1000 - begun

        on_redis = settings.broker_url.startswith("redis")
        put = put_on_redis(client) if on_redis else put_on_rabbitmq(settings.broker_url, settings.redis_url)
        strange = _messages(put, (lambda raw: client.lpush("bridge.moods", raw)) if on_redis else None)
        with running_worker(tmp_path, environment) as worker:
            pids = [worker.process.pid, *worker.children()]
            an_event("nothing")
            slowest = slowest_s(an_event, strange)
            assert [worker.process.pid, *worker.children()] == pids, "a process was replaced"
        print(f"{len(strange)} messages; the slowest event behind one took {slowest * 1000:.0f} ms")


@pytest.fixture(params=[COMMAND, UVICORN], ids=["sse-bridge gateway", "uvicorn"])
def gateway(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, request.param) as (process, url):
        yield httpx.URL(url).port or 0
        assert process.poll() is None
    assert "Traceback" not in next(tmp_path.glob("gateway-*.log")).read_text()


def test_a_gateway_stands_still_for_no_text(gateway: int, redis_url: str) -> None:
    """Of channels, of streams and of requests: the same user's live stream, and a resumed one, go on."""
    source = Source(Settings(broker_url=redis_url, jwt_secret=SECRET))
    user = uuid4()
    (last,) = source.publish(user)
    live = ask(gateway, request(user), receive_bytes=2**20)
    read_until(live, b": live\n")

    def an_event(_name: str) -> float:
        nonlocal last
        begun = time.monotonic()
        before, (last,) = last, source.publish(user)
        read_until(live, last.encode())
        resumed = ask(gateway, request(user, Last_Event_ID=before), receive_bytes=2**20)
        read_until(resumed, last.encode())
        resumed.close()
        return time.monotonic() - begun

    with redis.Redis.from_url(redis_url) as client:
        strange = _published(client, user) | _requests(gateway, user)
        slowest = slowest_s(an_event, strange)
    print(f"{len(strange)} texts; the slowest event behind one took {slowest * 1000:.0f} ms, live and resumed")
    live.close()
    source.close()


def _published(client: redis.Redis, user: UUID) -> dict[str, Do]:
    """Every text on the user's and everybody's channel and stream, as itself and in the fields of an event."""
    found: dict[str, Do] = {}
    for name, text in TEXTS.items():
        fields = {
            "event_id": str(uuid4()),
            "event_type": text[:100],
            "data": json.dumps({"a": text}),
            "occurred_at": text,
        }
        for channel in (keys.channel(User(user)), keys.BROADCAST_CHANNEL):
            found[f"{channel}: {name}"] = lambda channel=channel, text=text: client.publish(channel, text)  # type: ignore[misc]
            in_field = json.dumps({**fields, "data": {"a": text}, "position": text})
            found[f"{channel}, field: {name}"] = lambda channel=channel, told=in_field: client.publish(channel, told)  # type: ignore[misc]
        for stream in (keys.stream(User(user)), keys.BROADCAST_STREAM):
            found[f"{stream}: {name}"] = lambda stream=stream, told=fields: client.xadd(stream, told)  # type: ignore[misc]
            raw = {**fields, "data": text, "event_id": text}
            found[f"{stream}, raw: {name}"] = lambda stream=stream, told=raw: client.xadd(stream, told)  # type: ignore[misc]
    return found


def _requests(port: int, user: UUID) -> dict[str, Do]:
    """Every text in a request's query and headers; what is too large is refused, or read by the server."""
    found: dict[str, Do] = {}
    for name, text in TEXTS.items():
        line = text.replace("\n", " ").replace("\x00", " ").encode("ascii", "ignore").decode()
        for size in (len(line), 30_000):
            quoted = quote(line[: size // 3])
            for place, sent in {
                "query": request(user, path=f"/api/v1/events?categories={quoted}&lastEventId={quoted}"),
                "path": request(user, path="/" + quoted),
                "resumption": request(user, Last_Event_ID=line[:size]),
                "token": request(user, Authorization=f"Bearer {line[:size]}", Cookie=f"token={line[: size // 2]}"),
            }.items():
                found[f"{place} of {size}: {name}"] = lambda sent=sent: _knock(port, sent)  # type: ignore[misc]
    return found


def _knock(port: int, sent: bytes) -> None:
    """Send, and leave once there is an answer."""
    try:
        knocking = ask(port, sent)
        knocking.recv(100)
        knocking.close()
    except (ConnectionResetError, BrokenPipeError):
        return


def test_a_producer_stands_still_for_no_file_in_its_spool(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    settings = Settings(broker_url=redis_url, spool_dir=str(tmp_path / "spool"))
    for place, text in enumerate(TEXTS.values()):
        path = leave_spool(tmp_path / "spool", [10_000 + place], name=f"{place:03}")
        plant(path, envelope=text.encode())
        plant(
            path,
            envelope=json.dumps(
                envelope(type="FileImportSucceeded", data={"file_name": text, "transaction_count": 9_999})
            ).encode(),
        )
        plant(path, task=text, queue=text, user=text)
        plant(path, user=text)
    with closing(Emitter(settings, REGISTRY)) as emitter:
        slowest, number = 0.0, 0
        healthy = {10_000 + place for place in range(len(TEXTS))}
        while not healthy <= set(numbers(redis_client)):
            begun = time.monotonic()
            assert emitter.emit(event(number))
            assert emitter.flush(WAIT_S)
            slowest, number = max(slowest, time.monotonic() - begun), number + 1
            assert number < 10_000, "the healthy rows never come"
    print(f"{len(TEXTS)} files; the slowest of {number} events on the way meanwhile took {slowest * 1000:.0f} ms")
    assert set(range(number)) <= set(numbers(redis_client))
    assert slowest / busyness() < 2.0
