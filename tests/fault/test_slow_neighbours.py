"""Who is slow holds up nobody else: a slow extractor in one category, slow readers at a gateway."""

import asyncio
import os
import random
import time
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import environment_for, settings_for
from tests.support.counts import Counts
from tests.support.keys import BROADCAST_STREAM
from tests.support.moody_catalog import Announced, Moody, registry
from tests.support.streams import EVENTS_PATH, SECRET, Served, Source, token, until
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

SLOW_S = "0.05"
PROMPT_S = 0.5
"""The median on an idle machine is a few ms. This leaves room for a busy one."""


def test_a_slow_category_holds_up_no_other_one(tmp_path: Path, scale: float, dice: random.Random) -> None:
    """As docs/operating.md says: categories in workers of their own."""
    news = int(100 * scale)
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        environment = {**environment_for(settings, tmp_path), "SLOW_S": SLOW_S}
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with (
            running_worker(tmp_path, environment, "-Q", "bridge.moods", "-n", "moods@%h", name="moods") as slow_worker,
            running_worker(tmp_path, environment, "-X", "bridge.moods", "-n", "others@%h", name="others"),
        ):
            emitter.emit_many([Moody(user_id=uuid4(), mode="slow") for _ in range(10 * news)])
            wait_until(lambda: Counts(client).read()["published"], what="the slow category is at work")
            for number in range(news):
                emitter.emit(Announced(user_id=None, text=str(number)))
                time.sleep(dice.random() * 0.05)
            wait_until(lambda: client.xlen(BROADCAST_STREAM) == news, what="all news are out")
            assert client.llen("bridge.moods"), "the slow category was done too early: this run shows nothing"
            waits_s = sorted(_waits_s(client))
            # The slow one has minutes of work left, which a warm shutdown would wait for.
            slow_worker.kill()
        print(
            f"{news} news beside {10 * news} slow events: median {waits_s[news // 2] * 1e3:.1f} ms, "
            f"99 % within {waits_s[int(news * 0.99)] * 1e3:.1f} ms"
        )
        # What had to queue behind the slow ones would wait for all of them.
        behind_s = 10 * news * float(SLOW_S) / (os.cpu_count() or 1)
        assert waits_s[news // 2] < behind_s / 20
        assert waits_s[int(news * 0.99)] < behind_s / 5
        emitter.close()
        client.close()


def _waits_s(client: redis.Redis) -> list[float]:
    """From each broadcast's making to its place in the stream, by the clock of this machine."""
    return [
        int(position.split(b"-")[0]) / 1000 - datetime.fromisoformat(fields[b"occurred_at"].decode()).timestamp()
        for position, fields in client.xrange(BROADCAST_STREAM)
    ]


class _Reader:
    """A client that reads, rests now and then, and resumes where it was when it is cut; keeps ids and resets.

    Its first rest lasts until ``woken`` is set.
    """

    def __init__(self, served: Served, user: UUID, dice: random.Random, *, rests_s: float) -> None:
        self.ids: list[str] = []
        self._last_id = ""
        self._is_fresh = True
        self.arrived_at: list[float] = []
        self.woken = asyncio.Event()
        self.resets = 0
        self.connections = 0
        self._served, self._user, self.rests_s = served, user, rests_s
        self._dice = random.Random(dice.random())
        self.task = asyncio.create_task(self._run())

    @property
    def is_open(self) -> bool:
        """Whether its first frame has come: what is published from then on reaches it."""
        return bool(self._last_id)

    def arrivals(self) -> list[tuple[str, float]]:
        """Each id, and the monotonic time at which it came."""
        return list(zip(self.ids, self.arrived_at, strict=True))

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except OSError:
                continue

    async def _read(self) -> None:
        """One connection, with a small window, so that resting is felt at the other end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port, limit=4096)
        last = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
        writer.write(
            f"GET {EVENTS_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(self._user)}\r\n{last}\r\n".encode()
        )
        self.connections += 1
        pending = b""
        try:
            while data := await reader.read(4096):
                *frames, pending = (pending + data).split(b"\n\n")
                for frame in frames:
                    self._take(frame)
                if self.rests_s and self._is_fresh and self.is_open:
                    self._is_fresh = False
                    await self.woken.wait()
                elif self.rests_s and self._dice.random() < 0.02:
                    await asyncio.sleep(self.rests_s * self._dice.random())
        finally:
            writer.transport.abort()

    def _take(self, frame: bytes) -> None:
        # HTTP's own lines, the lengths of its chunks, stand between frames and start with neither word.
        lines = frame.split(b"\n")
        self.resets += b"event: stream.reset" in lines
        is_event = any(line.startswith(b"data: ") for line in lines)
        for line in lines:
            if line.startswith(b"id: "):
                self._last_id = line[4:].strip().decode()
                if is_event:
                    self.ids.append(self._last_id)
                    self.arrived_at.append(time.monotonic())


async def test_slow_readers_slow_no_other_and_get_each_event_once(
    redis_url: str, scale: float, dice: random.Random
) -> None:
    number = int(400 * scale)
    settings = Settings(broker_url=redis_url, jwt_secret=SECRET, gateway_queue_max=50, stream_maxlen=1_000_000)
    user = uuid4()
    source = Source(settings)
    with Served(settings) as served:
        prompt = [_Reader(served, user, dice, rests_s=0) for _ in range(3)]
        slow = [_Reader(served, user, dice, rests_s=1.5) for _ in range(3)]
        await until(lambda: all(reader.is_open for reader in (*prompt, *slow)))
        began = time.monotonic()
        counters = served.state.counters
        ids, made_at = await _publish(source, user, number, dice)
        rested_s = time.monotonic() - began
        for reader in slow:
            reader.woken.set()
        for reader in (*prompt, *slow):
            reader.rests_s = 0
            await until(lambda reader=reader: len(reader.ids) >= number)
        await _stop(*prompt, *slow)
    waits_s = sorted(at - made_at[id_] for reader in prompt for id_, at in reader.arrivals())
    print(
        f"{number} events, slow readers cut {counters.cut_too_slow} times, {[reader.connections for reader in slow]} "
        f"connections; prompt readers: median {waits_s[len(waits_s) // 2] * 1e3:.1f} ms, "
        f"99 % within {waits_s[int(len(waits_s) * 0.99)] * 1e3:.1f} ms"
    )
    assert [reader.ids == ids for reader in (*prompt, *slow)] == [True] * 6
    assert not any(reader.resets for reader in (*prompt, *slow))
    assert counters.cut_too_slow, "nobody was slow enough: this run shows nothing"
    assert [reader.connections for reader in prompt] == [1, 1, 1]
    assert waits_s[len(waits_s) // 2] < PROMPT_S
    assert waits_s[int(len(waits_s) * 0.99)] < max(PROMPT_S, rested_s / 2)
    source.close()


async def test_slow_readers_of_a_short_history_are_told_of_every_gap(
    redis_url: str, scale: float, dice: random.Random
) -> None:
    number = int(400 * scale)
    settings = Settings(broker_url=redis_url, jwt_secret=SECRET, gateway_queue_max=20, stream_maxlen=20)
    user = uuid4()
    source = Source(settings)
    with Served(settings) as served:
        slow = [_Reader(served, user, dice, rests_s=3) for _ in range(4)]
        await until(lambda: all(reader.is_open for reader in slow))
        ids, _ = await _publish(source, user, number, dice)
        for reader in slow:
            reader.woken.set()
            reader.rests_s = 0
            await until(lambda reader=reader: reader.ids and reader.ids[-1] == ids[-1])
        await _stop(*slow)
    place = {id_: n for n, id_ in enumerate(ids)}
    for reader in slow:
        places = [place[id_] for id_ in reader.ids]
        assert places == sorted(set(places)), "each event once, in order"
        gaps = sum(b - a > 1 for a, b in zip([-1, *places], places, strict=False))
        assert gaps <= reader.resets, "a gap that nobody told of"
    print(f"{number} events: {[(len(reader.ids), reader.resets) for reader in slow]} received and resets")
    source.close()


async def _publish(source: Source, user: UUID, number: int, dice: random.Random) -> tuple[list[str], dict[str, float]]:
    """Publish events of up to 40 kB, a few at a time; their ids in order, and when each was made."""
    ids: list[str] = []
    made_at: dict[str, float] = {}
    while len(ids) < number:
        new = await asyncio.to_thread(
            source.publish, user, min(dice.randint(1, 4), number - len(ids)), pad="x" * dice.randrange(40_000)
        )
        ids += new
        made_at |= dict.fromkeys(new, time.monotonic())
        await asyncio.sleep(dice.random() * 0.03)
    return ids, made_at


async def _stop(*readers: _Reader) -> None:
    for reader in readers:
        reader.task.cancel()
    await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
