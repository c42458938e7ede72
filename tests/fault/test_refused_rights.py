"""A right that is missing: said once, nobody's attempt is used up, nothing is lost, and granting it heals all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter
from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support.counts import Counts
from tests.support.gateway import Listener, running_gateway
from tests.support.keys import user_stream
from tests.support.moody_catalog import Moody, attempts_of, registry
from tests.support.own_redis import RedisServer, running_redis
from tests.support.processes import run_cli
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

REGISTRY = "tests.support.moody_catalog:registry"
ALL_RIGHTS = ("+@all", "~*", "&*")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server on which the bridge is a user with rights of its own; whoever looks is another one."""

    server: RedisServer

    @property
    def settings(self) -> Settings:
        return Settings(broker_url=self.server.url.replace("127.0.0.1", "bridge:secret@127.0.0.1"))

    def allow(self, *rules: str) -> None:
        with self.server.client() as client:
            client.execute_command("ACL", "SETUSER", "bridge", "reset", "on", ">secret", *rules)

    def environment(self, folder: Path) -> dict[str, str]:
        return {
            "BRIDGE_BROKER_URL": self.settings.broker_url,
            "BRIDGE_REGISTRY": REGISTRY,
            "MOODY_DIR": str(folder),
            "BRIDGE_TASK_TIME_LIMIT_S": "20",
        }


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with running_redis() as server:
        made = Guarded(server)
        made.allow(*ALL_RIGHTS)
        yield made


@pytest.mark.parametrize("missing", ["-publish", "-xadd"])
def test_a_worker_that_may_not_publish_says_so_and_goes_on_when_it_may(
    guarded: Guarded, tmp_path: Path, missing: str
) -> None:
    guarded.allow(*ALL_RIGHTS, missing)
    emitter = Emitter(guarded.settings, registry)
    events = [Moody(user_id=uuid4(), number=number) for number in range(20)]
    with (
        running_worker(tmp_path, guarded.environment(tmp_path)) as worker,
        connect(Settings(broker_url=guarded.server.url)) as client,
    ):
        assert emitter.emit_many(events) == len(events)
        wait_until(lambda: "bridge.store.refused" in worker.text(), what="the worker says it")
        assert "NOPERM" in worker.text()
        assert Counts(client).read()["published"] == 0
        wait_until(lambda: "cannot publish" in _status(guarded, tmp_path), what="status is red")
        guarded.allow(*ALL_RIGHTS)
        # One whose announcement was refused stands in its stream already, and counts as published before.
        wait_until(lambda: _ended(client) == len(events), what="all are published")
        assert sum(client.xlen(user_stream(event.user_id or uuid4())) for event in events) == len(events)
        wait_until(lambda: "cannot publish" not in _status(guarded, tmp_path), what="status is calm")
        counts = Counts(client).read()
        assert (counts["retried"], counts["dead"]) == (0, 0), "nobody's attempt was used up"
    assert max(attempts_of(tmp_path, event.event_id) for event in events) <= 12, "extractors run again at a slow pace"
    emitter.close()


@pytest.mark.parametrize(
    "rules",
    [("-evalsha", "-eval"), ("resetkeys", "~bridge:*", "~sse:*", "~_kombu.*", "~unacked*", "~*.pidbox")],
    ids=["no scripts", "no queues"],
)
def test_a_worker_that_may_not_take_messages_any_more_says_so_in_one_sentence(
    guarded: Guarded, tmp_path: Path, rules: tuple[str, ...]
) -> None:
    emitter = Emitter(Settings(broker_url=guarded.server.url), registry)
    with (
        running_worker(tmp_path, guarded.environment(tmp_path)) as worker,
        connect(Settings(broker_url=guarded.server.url)) as client,
    ):
        before = len(worker.text())
        guarded.allow(*ALL_RIGHTS, *rules)
        wait_until(lambda: "bridge.broker.refused" in worker.text(), what="the worker says it")
        if "-evalsha" not in rules:  # without scripts it cannot be heard at all
            wait_until(lambda: "may not take messages" in _status(guarded, tmp_path), what="status is red")
        attempts = client.info("commandstats").get("cmdstat_auth", {}).get("calls", 0)
        assert emitter.emit(Moody(user_id=uuid4()))
        assert emitter.flush(30)
        said = worker.text()[before:]
        assert "NOPERM" in said
        assert said.count("bridge.broker.refused") == 1
        assert "Traceback" not in said
        assert "Frequent restarts" not in said
        assert attempts < 1_000
        guarded.allow(*ALL_RIGHTS)
        wait_until(lambda: _ended(client) == 1, what="it goes on when it may")
    emitter.close()


def _status(guarded: Guarded, folder: Path) -> str:
    environment = {**guarded.environment(folder), "BRIDGE_BROKER_URL": guarded.server.url}
    return " ".join(run_cli("status", environment=environment).stdout.split())


def _ended(client: redis.Redis) -> int:
    counts = Counts(client).read()
    return counts["published"] + counts["duplicate"]


def test_a_producer_that_may_not_send_keeps_what_it_accepted(
    guarded: Guarded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.allow(*ALL_RIGHTS, "-lpush")
    emitter = Emitter(guarded.settings, registry)
    for number in range(5):
        assert emitter.emit(Moody(user_id=uuid4(), number=number))
    wait_until(lambda: "bridge.broker.refused" in caplog.text, what="it says so")
    assert "NOPERM" in caplog.text
    guarded.allow(*ALL_RIGHTS)
    assert emitter.flush(30)
    assert caplog.text.count("bridge.broker.refused") == 1
    with guarded.server.client() as client:
        assert client.hget("bridge:counts", "accepted") == b"5"
    emitter.close()


def test_a_gateway_that_may_not_read_is_not_ready_and_serves_when_it_may(guarded: Guarded, tmp_path: Path) -> None:
    user = uuid4()
    with running_gateway(tmp_path, guarded.environment(tmp_path)) as url:
        guarded.allow(*ALL_RIGHTS, "-xrange")
        Listener(url, user)
        guarded.allow(*ALL_RIGHTS)
        listener = Listener(url, user)
        emitter = Emitter(guarded.settings, registry)
        with running_worker(tmp_path, guarded.environment(tmp_path)):
            emitter.emit(Moody(user_id=user))
            listener.wait_for(1)
        emitter.close()


@pytest.mark.parametrize("command", [("status",), ("audit",), ("dead", "list"), ("trace", str(uuid4()))])
def test_an_operator_without_a_right_gets_one_sentence(
    guarded: Guarded, tmp_path: Path, command: tuple[str, ...]
) -> None:
    guarded.allow("+@connection", "~*", "&*")
    answer = run_cli(*command, environment=guarded.environment(tmp_path))
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "NOPERM" in answer.stdout + answer.stderr
    assert "rights" in answer.stdout + answer.stderr
    assert "secret" not in answer.stdout + answer.stderr
