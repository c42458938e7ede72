"""Events as large as they may be among small ones: within the bound they arrive whole, above it they are refused."""

import json
import random
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
import redis

from bridge import Emitter, Settings
from bridge.model.pipeline import EventCodec
from bridge.redis_adapter import connect
from tests.fault.load import environment_for, expect_clean, settings_for
from tests.support.items import body_of
from tests.support.keys import user_stream
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S
from tests.support.worker import running_worker

LETTERS = ("x", "é", "漢", "🌍", '"', "\n", "\x00", "\u2028")
"""One to four bytes each, or longer where JSON must escape."""
NEAR = (-3, -1, 0, 1, 3)
"""Bytes below and above the bound."""
BOUNDS = {
    "defaults": {},
    "a message is as large as an event": {"message_max_bytes": 65_536},
    "small messages": {"event_max_bytes": 1_024, "message_max_bytes": 4_096},
}


def _of_size(event: Moody, size_bytes: int, letter: str) -> Moody:
    """The event with an envelope of exactly that many bytes."""
    empty_bytes = len(EventCodec(Moody).encode(replace(event, mode=""), source="bridge"))
    times, rest = divmod(size_bytes - empty_bytes, len(msgspec.json.encode(letter)) - 2)
    return replace(event, mode=letter * times + "x" * rest)


@pytest.mark.parametrize(("broker", "bounds"), [*(("redis", bounds) for bounds in BOUNDS), ("rabbitmq", "defaults")])
def test_large_events_arrive_whole_and_larger_ones_are_refused(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random, bounds: str
) -> None:
    settings = settings_for(*servers, emit_batch_max=500, **BOUNDS[bounds])
    user = uuid4()
    fitting, too_large = _events(settings, user, max(1, int(scale)), dice)
    everything = [*fitting, *too_large]
    dice.shuffle(everything)
    emitter = Emitter(settings, registry)
    client = connect(settings)
    accepted = {str(event.event_id) for event in everything if emitter.emit(event)}
    assert accepted == {str(event.event_id) for event in fitting}
    assert emitter.counts["refused"] == len(too_large)
    assert emitter.flush(WAIT_S)
    sizes = _body_sizes(client) if settings.broker_url.startswith("redis") else []
    environment = {
        **environment_for(settings, tmp_path),
        "BRIDGE_EVENT_MAX_BYTES": str(settings.event_max_bytes),
        "BRIDGE_MESSAGE_MAX_BYTES": str(settings.message_max_bytes),
    }
    with running_worker(tmp_path, environment, "--concurrency=2"):
        verdict = expect_clean(settings, [user], accepted)
    assert verdict.dead == 0
    assert _texts(client, user) == {str(event.event_id): event.mode for event in fitting}
    # One event alone may fill a message; what Celery puts around it comes on top.
    assert all(size <= settings.message_max_bytes + 100 for size in sizes)
    print(f"{verdict}; {len(too_large)} refused; {len(sizes)} messages, the largest of {max(sizes, default=0)} bytes")
    emitter.close()
    client.close()


def _events(settings: Settings, user: UUID, rounds: int, dice: random.Random) -> tuple[list[Moody], list[Moody]]:
    """Events that fit, small ones among them, and events that do not."""
    fitting: list[Moody] = []
    too_large: list[Moody] = []
    for letter in LETTERS * rounds:
        for near in NEAR:
            event = _of_size(Moody(user_id=user), settings.event_max_bytes + near, letter)
            (fitting if near <= 0 else too_large).append(event)
        fitting += [Moody(user_id=user, mode=letter * dice.randrange(20)) for _ in range(dice.randrange(20))]
    return fitting, too_large


def _body_sizes(client: redis.Redis) -> list[int]:
    return [len(body_of(message)) for message in client.lrange("bridge.moods", 0, -1)]


def _texts(client: redis.Redis, user: UUID) -> dict[str, str]:
    return {
        fields[b"event_id"].decode(): json.loads(fields[b"data"])["mode"]
        for _, fields in client.xrange(user_stream(user))
    }
