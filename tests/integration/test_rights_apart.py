"""Exactly the listed rights suffice for the operators' page, and for a broker and a store that are two Redis."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.operations.redrive import Redrives
from bridge.operations.selection import Selection
from bridge.redis_adapter import connect
from bridge.redis_adapter.acl_rights import Server, rights_of
from bridge.settings import Process, Settings
from bridge.wiring import store_of
from tests.support.gateway import Listener, running_gateway
from tests.support.letters import a_failure, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_page import OPERATOR, VIEWS, browser, filled, form_token, wait_in_retry
from tests.support.processes import run_cli
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

USERS: tuple[Process, ...] = ("producer", "worker", "gateway", "ops")


@dataclass(frozen=True)
class Guarded:
    """Each process has a user of its own on each server, with what the list of rights says."""

    broker: str
    store: str

    def settings(self, process: str = "", **more: str) -> Settings:
        """Of a process; without one, of somebody who may do anything."""
        urls = [url.replace("://", f"://bridge-{process}:secret@") if process else url for url in self.urls]
        return Settings(broker_url=urls[0], redis_url="" if self.is_one else urls[1], **more)

    @property
    def urls(self) -> tuple[str, str]:
        return (self.broker, self.store)

    @property
    def is_one(self) -> bool:
        return self.broker == self.store

    def environment(self, process: Process) -> dict[str, str]:
        settings = self.settings(process)
        return {
            "BRIDGE_BROKER_URL": settings.broker_url,
            "BRIDGE_REDIS_URL": settings.redis_url,
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "BRIDGE_RETRY_ATTEMPTS": "2",
            "BRIDGE_RETRY_BASE_S": "0.05",
            "BRIDGE_GATEWAY_DEV": "0",
        }

    def grant(self, process: Process) -> None:
        places: dict[Server, str] = {"redis": self.store, "broker": self.broker}
        for server, rights in rights_of(process, self.settings()).items():
            with redis.Redis.from_url(places[server]) as admin:
                rules = ("reset", "on", ">secret", *rights.rules())
                admin.execute_command("ACL", "SETUSER", f"bridge-{process}", *rules)

    def denied(self) -> set[tuple[str, str]]:
        """Who was denied what, but for what a worker goes without."""
        found: set[tuple[str, str]] = set()
        for url in set(self.urls):
            with redis.Redis.from_url(url) as admin:
                found |= {(entry["username"], entry["object"]) for entry in admin.acl_log()}
        return found - {("bridge-worker", "config|get")}


@pytest.fixture(params=["one server", "two servers"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    with EmbeddedServer() as store, EmbeddedServer() as other:
        made = Guarded(store.url if request.param == "one server" else other.url, store.url)
        for process in USERS:
            made.grant(process)
        yield made


# On one server tests/integration/test_check_rights.py does it, with the documented rights.
@pytest.mark.parametrize("guarded", ["two servers"], indirect=True)
def test_the_bridge_runs_with_exactly_the_listed_rights(tmp_path: Path, guarded: Guarded) -> None:
    user = uuid4()

    def emit(mode: str) -> None:
        text = json.dumps({"user_id": str(user), "mode": mode, "times": 99})
        done = run_cli("emit", "Moody", text, environment=guarded.environment("producer"))
        assert done.returncode == 0, done.stderr

    worker_environment = {**guarded.environment("worker"), "MOODY_DIR": str(tmp_path)}
    with (
        running_worker(tmp_path, worker_environment) as worker,
        running_gateway(tmp_path, guarded.environment("gateway")) as url,
        redis.Redis.from_url(guarded.store, decode_responses=True) as store,
        redis.Redis.from_url(guarded.broker) as broker,
    ):
        listener = Listener(url, user)
        for mode in ("ok", "fail", "permanent", "ok"):
            emit(mode)
        wait_until(lambda: len(listener.events) >= 2, what="the events reach the browser")
        resumed = Listener(url, user, last_event_id=listener.events[0].id)
        wait_until(lambda: resumed.events, what="the history is read")
        wait_until(lambda: store.zcard("bridge:dead:index") == 2, what="two letters")
        letter = store.zrange("bridge:dead:index", 0, 0)[0]
        broker.lpush("bridge.stranded", "what nobody consumes")
        for arguments in (
            ("status",), ("audit",), ("retries", "list"), ("dead", "groups"), ("trace", letter), ("dead", "list"),
            ("dead", "redrive", "--dry-run"), ("dead", "redrive", "-y"), ("dead", "discard", "-y", "--reason", "seen"),
            ("queues",), ("queues", "move", "bridge.stranded", "bridge.moods", "-y", "--reason", "renamed"),
        ):  # fmt: skip
            done = run_cli(*arguments, environment=guarded.environment("ops"))
            assert done.returncode in (0, 1), done
            assert "NOPERM" not in done.stdout + done.stderr, done
        assert "NoPermission" not in worker.text()
    assert guarded.denied() == set()


async def test_the_page_runs_with_exactly_the_listed_rights(guarded: Guarded) -> None:
    everything = guarded.settings()
    with connect(everything) as admin:
        letters = [a_letter() for _ in range(3)]
        bury(admin, everything, letters)
        first, second = (wait_in_retry(admin, everything, a_failure()) for _ in range(2))
    settings = guarded.settings("ops", ops_token=OPERATOR)
    async with browser(settings, OPERATOR) as operator:
        token = await form_token(operator)

        async def act(path: str, **fields: str) -> None:
            answer = await operator.post(path, data={"form_token": token, **fields})
            assert answer.status_code in (200, 303), (path, answer.text)

        await act("/retries/now", id=first.event_id)
        await act("/retries/cancel", id=second.event_id, reason="gone")
        await act("/replays/dry-run")
        await act("/replays", id=letters[0].letter_id)
        with connect(everything) as admin:
            (replay,) = Redrives(store_of(admin, everything), everything, registry).newest()
        await act(f"/replays/{replay.redrive_id}/stop")
        with connect(everything) as admin:
            begun_elsewhere = Redrives(store_of(admin, everything), everything, registry).begin(
                Selection(ids=(letters[2].letter_id,))
            )
        await act(f"/replays/{begun_elsewhere}/resume")
        for path in VIEWS:
            page = filled(path, letters[1].letter_id, letters[1].group, replay.redrive_id)
            answer = await operator.get(page)
            assert answer.status_code == 200, (page, answer.text)
        traced = await operator.get("/trace", params={"event": letters[1].letter_id})
        assert "open the letter" in traced.text
        await act("/dead/discard", reason="seen")
        for path in ("/metrics", "/health/live", "/health/ready"):
            answer = await operator.get(path)
            assert answer.status_code in (200, 503), path
            assert "NOPERM" not in answer.text
    assert guarded.denied() == set()
