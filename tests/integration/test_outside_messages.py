"""Whatever its size, depth, number or compression: a message holds up nobody, and ends as one letter with its bytes."""

import base64
import bz2
import json
import lzma
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, reduce
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import redis
from kombu import Connection, Exchange, Producer

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.model.bounds import RAW_KEPT_MAX, MessageBounds
from bridge.model.dead_letter import DeadLetter
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from tests.support.brokers import Put, body_of, envelope, put_on_rabbitmq, put_on_redis
from tests.support.counts import Counts
from tests.support.items import body_of as body_in
from tests.support.moody_catalog import Moody, registry
from tests.support.needs import needs_package
from tests.support.promptness import busyness
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, moody_environment, running_worker

PEAK_BYTES = 300 * 2**20
BOMB_BYTES = 2**30
OTHERS_S = 30.0  # on an idle machine, whatever stands before them
RUNS_MAX = 2
TAIL = b',{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
BOUNDS = MessageBounds.of(message_max_bytes=262_144, emit_batch_max=100)


@dataclass
class Bridge:
    """A worker that runs, and ways to reach its broker and store."""

    settings: Settings
    worker: WorkerProcess
    put: Put

    def publish_another(self) -> None:
        emitter = Emitter(self.settings, registry)
        assert emitter.emit(Moody(user_id=uuid4()))
        assert emitter.flush(WAIT_S)
        emitter.close()

    def letters_after_another(self, client: redis.Redis, number: int = 1) -> list[DeadLetter]:
        """The letters there are when something behind them is published, and they are there."""
        before = Counts(client).read()["published"]
        self.publish_another()
        letters = DeadLetters(client, self.settings)
        wait_until(lambda: Counts(client).read()["published"] > before, what="the other is published")
        wait_until(lambda: letters.count() >= number, what="the letters are written")
        return list(every_letter(letters))


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def bridge(
    request: pytest.FixtureRequest, redis_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("outside")
    on_redis = request.param == "redis"
    url: str = redis_server.url if on_redis else request.getfixturevalue("amqp_url")
    settings = Settings(broker_url=url, redis_url=redis_server.url)
    with running_worker(folder, moody_environment(settings, folder)) as worker, connect(settings) as client:
        yield Bridge(settings, worker, put_on_redis(client) if on_redis else put_on_rabbitmq(url, redis_server.url))


def _peak_bytes(worker: WorkerProcess) -> int:
    """The most memory that any of its processes ever had."""
    peaks = []
    for pid in (worker.process.pid, *worker.children()):
        status = Path(f"/proc/{pid}/status").read_text()
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
    return max(peaks)


HOSTILE: dict[str, Callable[[int], str]] = {
    "brackets before escaped backslashes": lambda size: "[" * 600 + '\\"' * (size // 3) + "\n",
    "brackets": lambda size: "[{" * (size // 2),
    "quotes": lambda size: '"' * (size // 2),
    "backslashes": lambda size: "\\" * (size // 2),
}


@pytest.mark.parametrize("size", [60_000, 1_000_000, 5_000_000])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_holds_up_nobody(bridge: Bridge, redis_client: redis.Redis, name: str, size: int) -> None:
    before = Counts(redis_client).read()["published"]
    for separators in ((", ", ": "), (",", ":")):
        hostile = envelope(data={"user_id": str(uuid4()), "number": 1, "mode": HOSTILE[name](size)})
        body = json.dumps([[[hostile]], {}, {}], separators=separators).encode()
        bridge.put(body)
    bridge.publish_another()
    fits = len(body) <= BOUNDS.body_bytes and len(json.dumps(hostile)) < 65_000
    wait_until(
        lambda: Counts(redis_client).read()["published"] - before == (3 if fits else 1),
        what="what is behind it is published",
    )
    assert bridge.worker.process.poll() is None


NAMES = (
    *("id", "task", "bridge_booked", "bridge_attempt", "bridge_replay", "root_id", "parent_id", "group", "shadow"),
    *("argsrepr", "origin", "lang", "eta", "retries", "timelimit", "stamps", "ignore_result", "of_no_use"),
)
ODD = (None, True, -1, 2**63, 1.5, "", "\ud800", "a\r\nb", "\u0663", [], [1], {"a": ["\ud800"]}, "9" * 300)


@pytest.mark.parametrize("odd", ODD, ids=lambda value: ascii(value)[:20])
def test_no_value_of_a_header_ends_a_worker(bridge: Bridge, redis_client: redis.Redis, odd: Any) -> None:
    before, number = Counts(redis_client).read(), 1
    for name in NAMES:
        with suppress(struct.error):  # AMQP has no such numbers
            bridge.put(body_of(envelope()), headers={name: odd})
            number += 1
    bridge.publish_another()

    def ended() -> int:
        counts = Counts(redis_client).read()
        return sum(counts[name] - before[name] for name in ("published", "dead"))

    wait_until(lambda: ended() == number, timeout_s=60, what="each is published, or a dead letter")
    assert bridge.worker.process.poll() is None


def _brackets_behind_a_text(levels: int) -> bytes:
    return b'{"text":"ends in a backslash\\\\","deep":' + b"[" * levels + b"]" * levels + b"}"


def test_levels_are_seen_behind_a_text_and_not_in_one(bridge: Bridge, redis_client: redis.Redis) -> None:
    deep, flat = json.dumps(envelope()).encode(), json.dumps(envelope()).encode()
    deep = deep.replace(b'"specversion"', b'"more":%b,"specversion"' % _brackets_behind_a_text(450))
    flat = flat.replace(b'"specversion"', b'"more":"\\"%b","specversion"' % (b"[" * 500))
    tail = b']],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
    bridge.put(b"[[[" + deep + tail)
    bridge.put(b"[[[" + flat + tail)
    letters = bridge.letters_after_another(redis_client)
    assert [letter.failure.stage for letter in letters] == ["message"]
    wait_until(lambda: Counts(redis_client).read()["published"] == 2, what="the flat one is published")


PIECE = b" " * 2**26
PIECES = BOMB_BYTES // len(PIECE)


def _zlib_bomb() -> bytes:
    """One stream of the same block again and again; to compress each anew takes seconds."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(PIECE) + packer.flush(zlib.Z_FULL_FLUSH)
    total = reduce(lambda total, _: zlib.adler32(PIECE, total), range(PIECES), 1)
    return b"\x78\xda" + block * PIECES + packer.flush() + total.to_bytes(4)


def _zstd() -> Any:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    needs_package(name)
    return import_module(name)


def _zstd_bomb() -> bytes:
    packer = _zstd().ZstdCompressor()
    return b"".join(packer.compress(PIECE) for _ in range(PIECES)) + bytes(packer.flush())


BOMBS: dict[str, Callable[[], bytes]] = {
    "zlib": _zlib_bomb,
    "bzip2": lambda: bz2.compress(PIECE) * PIECES,
    "lzma": lambda: lzma.compress(PIECE, preset=1) * PIECES,
    "zstd": _zstd_bomb,
    "zstandard": lambda: bytes(_zstd().compress(PIECE)) * PIECES,
}


@cache
def _bomb(name: str) -> bytes:
    return BOMBS[name]()


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_body_of_a_gigabyte_is_kept_as_it_was_sent(
    bridge: Bridge, redis_client: redis.Redis, name: str
) -> None:
    bomb = _bomb(name)
    bridge.put(bomb, compression=name)
    (letter,) = bridge.letters_after_another(redis_client)
    assert f"more than {BOUNDS.body_bytes} bytes" in letter.failure.message
    item = json.loads(letter.raw)
    assert item["headers"]["compression"] == name
    assert base64.b64decode(item["body"]) == bomb
    assert not letter.cut_from
    assert _peak_bytes(bridge.worker) < PEAK_BYTES


@pytest.mark.parametrize("name", BOMBS)
def test_remote_control_of_a_gigabyte_holds_up_nobody(bridge: Bridge, redis_client: redis.Redis, name: str) -> None:
    """Celery reads it in the worker's main process, beside the tasks."""
    exchange = Exchange("celery.pidbox", type="fanout", durable=False)
    with Connection(bridge.settings.broker_url) as connection:
        Producer(connection.channel(), exchange).publish(
            _bomb(name), content_type="application/json", content_encoding="utf-8", headers={"compression": name}
        )
    before = Counts(redis_client).read()["published"]
    bridge.publish_another()
    wait_until(lambda: Counts(redis_client).read()["published"] > before, what="the next is published")
    assert bridge.worker.process.poll() is None
    assert _peak_bytes(bridge.worker) < PEAK_BYTES


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("application/x-gzip", zlib.compress),
        ("application/zstd", lambda body: bytes(_zstd().compress(body))),
    ],
)
def test_a_legal_body_of_any_compression_is_published(
    bridge: Bridge, redis_client: redis.Redis, compression: str, pack: Callable[[bytes], bytes]
) -> None:
    bridge.put(pack(body_of(envelope())), compression=compression)
    wait_until(lambda: Counts(redis_client).read()["published"] == 1, what="it is published")


def test_a_compressed_message_that_is_refused_for_its_content_is_kept_as_it_was_sent(
    bridge: Bridge, redis_client: redis.Redis
) -> None:
    body = json.dumps({"no": "message"}).encode()
    bridge.put(bz2.compress(body), compression="application/x-bz2")
    (letter,) = bridge.letters_after_another(redis_client)
    assert body_in(letter.raw) == body


@pytest.mark.parametrize("codec", ["zlib_codec", "bz2_codec", "idna", "punycode"])
def test_no_codec_of_pythons_is_asked(bridge: Bridge, redis_client: redis.Redis, codec: str) -> None:
    """kombu and py-amqp ask them for what a message names; some expand what they read, some take quadratic time."""
    junk = _bomb("zlib")[:700_000] if codec == "zlib_codec" else b"a" * 350_000 + b"-" + b"b" * 350_000
    bridge.put(junk, content_type="application/data", content_encoding=codec)
    (letter,) = bridge.letters_after_another(redis_client)
    assert re.search("reads application/json only|content encoding", letter.failure.message)
    assert _peak_bytes(bridge.worker) < PEAK_BYTES


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("number", [BOUNDS.envelopes + 1, 105_000, 1_000_000])
def test_a_message_of_too_many_is_one_letter(
    bridge: Bridge, redis_client: redis.Redis, number: int, packed: bool
) -> None:
    body = b"[[[" + b"1," * (number - 1) + b"1]]" + TAIL
    bridge.put(b"an older letter")
    (older,) = bridge.letters_after_another(redis_client)
    bridge.put(zlib.compress(body) if packed else body, compression="zlib" if packed else "")
    begun = time.monotonic()
    letter, kept = bridge.letters_after_another(redis_client, 2)
    assert (time.monotonic() - begun) / busyness() < OTHERS_S
    assert kept == older
    assert letter.failure.stage == "message"
    assert len(letter.attempts) <= RUNS_MAX
    assert any(said in letter.failure.message for said in (str(number), "more than", "at most"))
    assert Counts(redis_client).read()["dead"] == 2
    assert Counts(redis_client).read()["dead_evicted"] == 0


@pytest.mark.parametrize("place", ["envelope", "data"])
def test_a_million_elements_in_one_event_take_two_runs_at_most(
    bridge: Bridge, redis_client: redis.Redis, place: str
) -> None:
    elements = [1] * (BOUNDS.body_bytes // 2 - 1_000)
    changed = {"more": elements} if place == "envelope" else {"data": {"user_id": str(uuid4()), "mode": elements}}
    event_id, runs = str(uuid4()), bridge.worker.text().count("soft time limit")
    bridge.put(json.dumps([[[envelope(id=event_id, **changed)]], {}, {}], separators=(",", ":")).encode())
    begun = time.monotonic()
    (letter,) = bridge.letters_after_another(redis_client)
    assert (time.monotonic() - begun) / busyness() < OTHERS_S
    assert len(letter.attempts) <= RUNS_MAX
    assert bridge.worker.text().count("soft time limit") == runs
    assert _peak_bytes(bridge.worker) < PEAK_BYTES


def test_what_is_too_large_to_keep_is_cut_and_says_so(bridge: Bridge, redis_client: redis.Redis) -> None:
    bridge.put(b"x" * (2 * RAW_KEPT_MAX))
    (letter,) = bridge.letters_after_another(redis_client)
    assert len(letter.raw) == RAW_KEPT_MAX
    assert "sha256" in letter.cut_from
    assert _peak_bytes(bridge.worker) < PEAK_BYTES


def test_headers_cannot_forge_a_line_of_the_log(bridge: Bridge, redis_client: redis.Redis) -> None:
    forged = "x\r\n[2026-01-01 00:00:00,000: ERROR/MainProcess] forged \x1b[2J"
    bridge.put(body_of(envelope()), headers={"id": forged})
    bridge.put(body_of(envelope()), headers={"task": forged})
    bridge.put(body_of(envelope()), headers={"argsrepr": forged, "origin": forged, "root_id": forged})
    letters = bridge.letters_after_another(redis_client, 2)
    assert len(letters) == 2
    log = bridge.worker.text()
    assert "\x1b" not in log
    assert not any(line.startswith("[2026-01-01") for line in log.splitlines())


def test_the_worker_is_the_one_that_began(bridge: Bridge) -> None:
    print(f"at most {_peak_bytes(bridge.worker) / 2**20:.0f} MiB in a process")
    assert psutil.Process(bridge.worker.process.pid).is_running()
    assert _peak_bytes(bridge.worker) < PEAK_BYTES
