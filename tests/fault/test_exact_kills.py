"""kill -9 at each place where something is half done: nothing is lost, and nothing happens twice."""

import os
import random
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from kombu import Connection

from bridge import Emitter, Settings
from bridge.amqp_adapter.kombu_options import queue
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.redis_claims import ClaimingQoS
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, connect
from tests.fault.load import USERS, Producing, environment_for, expect_clean, mixed, settings_for
from tests.support.counts import Counts
from tests.support.dying_app import NOT_BEGUN, PLACES, TAKEN_APART
from tests.support.moody_catalog import registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

QUEUE = "bridge.moods"
APP = "tests.support.dying_app"
REACHED_WITHIN_S = 30.0
OF_RABBITMQ = sorted(name for name, place in PLACES.items() if place.owner not in (ClaimingChannel, ClaimingQoS))


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_no_place_to_die_loses_or_doubles_an_event(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random, broker: str
) -> None:
    # Every worker dies over the same first messages, and none of these is to blame.
    settings = settings_for(*servers, delivery_max=100, visibility_timeout_s=2, task_time_limit_s=1)
    environment = environment_for(settings, tmp_path)
    users = [uuid4() for _ in range(USERS)]
    emitter = Emitter(settings, registry)
    client = connect(settings)
    order = _order(sorted(PLACES) if broker == "redis" else OF_RABBITMQ, scale, dice)
    with Producing(emitter, 1, users, dice, mixed, pause_s=0.1) as producing, _Junk(settings) as junk:
        for number, place in enumerate(order):
            junk.put(f"junk {number}")
            _die_at(place, tmp_path / f"worker-{number}.log", environment)
    assert emitter.flush(WAIT_S)
    with running_worker(tmp_path, environment, app=APP):
        verdict = expect_clean(settings, users, producing.ids, producing.for_nobody)
        letters = DeadLetters(client, settings)
        wait_until(lambda: _quarantined(letters) >= len(order), what="each junk is a letter")
        kept = [letter.raw for letter in every_letter(letters) if letter.failure.stage == "message"]
        assert len(kept) == len(order), f"some junk is two letters: {sorted(kept)}"
        wait_until(lambda: not _left_over(client), what="nothing is left over")
    print(f"died at {len(order)} places: {verdict}, {len(order)} of the dead are junk; {Counts(client).read()}")
    assert verdict.dead == len(range(0, verdict.accepted, 25)) + len(order)
    emitter.close()
    client.close()


def _order(places: list[str], scale: float, dice: random.Random) -> list[str]:
    """Half of the places, with FAULT_SCALE=2 each of them, in any order; FAULT_PLACE chooses one."""
    if "FAULT_PLACE" in os.environ:
        return [NOT_BEGUN, os.environ["FAULT_PLACE"]]
    number = round(len(places) * scale / 2)
    order = [place for _ in range(-(-number // len(places))) for place in dice.sample(places, len(places))][:number]
    # What is taken apart is a batch that came back from a death.
    return [each for place in order for each in ([NOT_BEGUN, place] if place == TAKEN_APART else [place])]


class _Junk:
    """Puts on the queue what no Celery can run."""

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings.broker_url)
        self._queue = queue(settings, QUEUE)

    def put(self, text: str) -> None:
        headers = {"task": "bridge.Unheard", "id": text}
        self._producer.publish(
            text, exchange="", routing_key=QUEUE, declare=[self._queue], headers=headers, serializer="json"
        )

    def __enter__(self) -> "_Junk":
        self._producer = self._connection.Producer()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()


def _die_at(place: str, log: Path, environment: dict[str, str]) -> None:
    """Run a worker until it dies at that place."""
    worker = WorkerProcess(log, {**environment, "DIE_AT": place}, app=APP)
    try:
        wait_until(
            lambda: worker.process.poll() is not None, timeout_s=REACHED_WITHIN_S, what=f"the worker dies: {place}"
        )
        assert worker.process.returncode == -9, worker.text()[-2000:]
    finally:
        worker.kill()


def _quarantined(letters: DeadLetters) -> int:
    return sum(letter.failure.stage == "message" for letter in every_letter(letters))


def _left_over(client: redis.Redis) -> set[str]:
    """Keys that must be gone when all is done."""
    names = (QUEUE, "unacked", "unacked_index", "bridge:retry:due", "bridge:retry:records")
    return {name for name in names if client.exists(name)}
