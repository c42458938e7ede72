"""A Redis that is full, or refuses writes otherwise, blinds nobody, and what would free it still works."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
import redis

from bridge.ops.monitoring import BridgeCollector
from bridge.redis_adapter import connect
from bridge.redis_adapter.task_queue import Entries
from bridge.settings import Settings
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.own_redis import RedisServer, running_redis
from tests.support.processes import run_cli

REGISTRY = "tests.support.moody_catalog:registry"
LETTERS = 20


@dataclass(frozen=True, slots=True)
class Full:
    """A server that takes nothing more, with letters in it."""

    server: RedisServer
    letter_ids: tuple[str, ...]

    def run(self, *arguments: str) -> tuple[int, str]:
        answer = run_cli(*arguments, environment={"BRIDGE_BROKER_URL": self.server.url, "BRIDGE_REGISTRY": REGISTRY})
        assert "Traceback" not in answer.stderr, answer.stderr
        return answer.returncode, answer.stdout + answer.stderr


@pytest.fixture
def full() -> Iterator[Full]:
    with running_redis("--maxmemory-policy", "noeviction") as server:
        settings = Settings(broker_url=server.url)
        # No two alike, and together more than what is missing.
        letters = [a_letter(number=number, mode=secrets.token_hex(10_000)) for number in range(LETTERS)]
        with connect(settings) as client:
            bury(client, settings, letters)
            Entries(client).enter([("lost", "bridge.Moody", "bridge.moods", bytes(16))])
            client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
            with pytest.raises(redis.OutOfMemoryError):
                client.set("more", "x")
        yield Full(server, tuple(letter.letter_id for letter in letters))


def test_operators_see_everything_while_redis_is_full(full: Full) -> None:
    code, said = full.run("audit", "--grace", "0", "--json")
    assert json.loads(said)["balance"]["dead"] == LETTERS
    assert code == 1  # one event is missing

    code, said = full.run("trace", full.letter_ids[0])
    assert (code, "dead" in said.lower()) == (0, True), said
    code, said = full.run("dead", "list", "--json")
    assert (code, full.letter_ids[0] in said) == (0, True), said
    code, said = full.run("dead", "groups")
    assert code == 0, said
    code, said = full.run("retries", "list")
    assert code == 0, said


def test_status_says_that_redis_takes_no_writes_and_why(full: Full) -> None:
    code, said = full.run("status")
    assert code == 1
    assert "takes no writes" in said
    assert "OOM" in said
    assert "maxmemory" in said
    assert "No worker consumes" not in said


def test_metrics_are_read_while_redis_is_full(full: Full) -> None:
    families = {
        family.name: family for family in BridgeCollector(Settings(broker_url=full.server.url), registry).collect()
    }
    assert families["bridge_store_up"].samples[0].value == 1
    assert len(families) > 5


def test_discarding_and_writing_off_free_a_full_redis(full: Full) -> None:
    code, said = full.run("dead", "discard", "--yes", "--reason", "to make room")
    assert code == 0, said
    code, said = full.run("audit", "--grace", "0", "--write-off", "lost", "--json")
    assert json.loads(said)["written_off"] == 1, said
    with full.server.client() as client:
        assert not client.hlen("bridge:dead:letters")
        assert client.hget("bridge:counts", "discarded") == str(LETTERS).encode()
        assert client.xlen("bridge:operations:log") == 2
        assert not client.llen("bridge.moods")
        code, said = full.run("emit", "Moody", json.dumps({"user_id": str(uuid4()), "mode": "ok"}))
        assert code == 0, said
        assert client.llen("bridge.moods") == 1, "what was freed is enough to go on"


@pytest.mark.parametrize(
    ("option", "value", "code"), [("min-replicas-to-write", "1", "NOREPLICAS"), ("appendonly", "yes", "")]
)
def test_status_names_any_other_refusal(option: str, value: str, code: str) -> None:
    with running_redis() as server, server.client() as client:
        client.config_set(option, value)
        environment = {"BRIDGE_BROKER_URL": server.url, "BRIDGE_REGISTRY": REGISTRY}
        said = run_cli("status", environment=environment).stdout
        assert ("takes no writes" in said) == bool(code)
        assert code in said
        assert ("No worker consumes" in said) != bool(code)
