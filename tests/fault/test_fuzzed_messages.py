"""Fuzzed messages: whatever stands on a queue, the same worker with the same pool goes on to the next."""

import json
import random
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from tests.integration.test_worker_quarantine import MALFORMED, QUEUE, item
from tests.support.counts import Counts
from tests.support.keys import user_stream
from tests.support.moody_catalog import Moody, registry
from tests.support.team import APP, FORMS, team_at_work, team_environment
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

ROUND = 500
HEADERS = ("eta", "expires", "timelimit", "retries", "stamps", "stamped_headers", "chord", "priority", "bridge_attempt")
VALUES = (None, True, 0, -1, 10**30, 1.5, "", "x", "\x00", "é" * 50, [], [1, "a", None], {}, {"a": {"b": []}})


@pytest.mark.parametrize("form", FORMS)
def test_no_fuzzed_message_stops_the_worker(form: str, tmp_path: Path, scale: float, dice: random.Random) -> None:
    number = int(1_000 * (scale if form == "own" else scale / 2))
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url, dead_max=1_000_000)
        environment = {
            "BRIDGE_BROKER_URL": server.url,
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "BRIDGE_DEAD_MAX": "1000000",
            "MOODY_DIR": str(tmp_path),
            **team_environment(server.url, tmp_path),
        }
        client = connect(settings)
        emitter = Emitter(settings, registry)
        beside = team_at_work(server.url) if form == "installed" else nullcontext()
        with beside, running_worker(tmp_path, environment, app=FORMS[form]) as worker:
            pids = worker.children()
            for start in range(0, number, ROUND):
                client.lpush(QUEUE, *[_fuzzed(dice) for _ in range(min(ROUND, number - start))])
                _expect_the_next_event(emitter, client, FORMS[form])
            assert worker.process.poll() is None
            assert worker.children() == pids
            assert "Unrecoverable" not in worker.text()
        letters = list(every_letter(DeadLetters(client, settings)))
        print(f"{number} fuzzed messages: {len(letters)} letters, {Counts(client).read()}")
        assert len(letters) > number / 2
        emitter.close()
        client.close()


def _expect_the_next_event(emitter: Emitter, client: redis.Redis, app: str) -> None:
    user_id = uuid4()
    emitter.emit(Moody(user_id=user_id))
    wait_until(lambda: client.xlen(user_stream(user_id)) == 1, what="the next event is published")
    wait_until(
        lambda: not client.exists(QUEUE, "unacked.bridge" if app == APP else "unacked"),
        what="every message is acknowledged",
    )


def _fuzzed(dice: random.Random) -> bytes:
    """A message with something wrong, or rarely nothing."""
    kind = dice.randrange(5)
    if kind == 0:
        return dice.randbytes(dice.randrange(200))
    if kind == 1:
        return _with_noise(dice, dice.choice(list(MALFORMED.values()))[:5_000])
    if kind == 2:
        return _with_noise(dice, item())
    message = json.loads(item())
    for _ in range(dice.randint(1, 3)):
        _spoil(dice, message)
    return json.dumps(message).encode()


def _with_noise(dice: random.Random, raw: bytes) -> bytes:
    noisy = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        if noisy:
            place = dice.randrange(len(noisy))
            noisy[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(noisy)


def _spoil(dice: random.Random, message: dict[str, Any]) -> None:
    """Replace, remove or add one value somewhere in the message."""
    place = dice.choice([message, message.get("headers"), message.get("properties")])
    if not isinstance(place, dict) or not place:
        return
    name = dice.choice(
        [*place, "eta", "expires", "timelimit", "retries", "stamps", "stamped_headers", "chord", "priority"]
    )
    if dice.random() < 0.3:
        place.pop(name, None)
    else:
        # A copy: one value in two places, spoiled again, would hold itself.
        place[name] = deepcopy(dice.choice(VALUES))
