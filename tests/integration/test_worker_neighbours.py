"""One event that ends its process at its last attempt takes no neighbour with it, and dies of its own cause."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, read_balance
from bridge.wiring import store_of
from tests.support.counts import Counts
from tests.support.hasty_catalog import registry as hasty
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import Moody
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess, running_worker

NEIGHBOURS = 10


@pytest.fixture(scope="module")
def worker(redis_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("hasty")
    environment = {
        "BRIDGE_BROKER_URL": redis_server.url,
        "BRIDGE_REGISTRY": "tests.support.hasty_catalog:registry",
        "BRIDGE_TASK_TIME_LIMIT_S": "4",
        "MOODY_DIR": str(folder),
    }
    with running_worker(folder, environment) as process:
        yield process


def _among_others(mode: str) -> list[tuple[int, str]]:
    return [(number, mode if number == 3 else "ok") for number in range(NEIGHBOURS + 1)]


@pytest.mark.parametrize("mode", ["exit", "_exit", "kill", "stubborn"])
def test_at_first_delivery(worker: WorkerProcess, settings: Settings, client: redis.Redis, mode: str) -> None:
    emitter = Emitter(settings, hasty)
    user_id = uuid4()
    emitter.emit_many([Moody(user_id=user_id, number=n, mode=how, times=99) for n, how in _among_others(mode)])
    emitter.close()
    _judge(settings, client, mode)


@pytest.mark.parametrize("mode", ["exit", "_exit", "kill"])
def test_in_a_replay(worker: WorkerProcess, settings: Settings, client: redis.Redis, mode: str) -> None:
    bury(client, settings, [a_letter(mode=how, number=n, times=99) for n, how in _among_others(mode)])
    replays = Redrives(store_of(client, settings), settings, hasty)
    status = replays.run(replays.begin(Selection()), patience_s=60)
    assert (status.succeeded, status.failed) == (NEIGHBOURS, 1)
    _judge(settings, client, mode)


def _judge(settings: Settings, client: redis.Redis, mode: str) -> None:
    """All neighbours are published; the one that is to blame is dead, of that."""
    counts, letters = Counts(client), DeadLetters(client, settings)
    wait_until(lambda: counts.read()["published"] == NEIGHBOURS, what="the neighbours are published")
    wait_until(lambda: letters.count() == 1, what="one is dead")
    (letter,) = every_letter(letters)
    assert json.loads(letter.envelope)["data"]["mode"] == mode
    assert letter.failure.stage == "worker"
    wait_until(lambda: not client.exists("bridge.moods", "unacked"), what="nothing is under way")
    balance = read_balance(client)
    assert balance.difference == 0, balance
