"""The rights that docs/operating.md lists suffice for the whole bridge, and check names each one that is missing."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import EmbeddedServer
from bridge.operations import disconnect_user, end_streams
from bridge.redis_adapter import connect
from bridge.redis_adapter.acl_rights import Scratch, rights_of
from bridge.redis_adapter.preflight.access import missing_rights
from bridge.settings import Process, Settings
from bridge.wiring import open_store
from tests.support.gateway import Listener, running_gateway
from tests.support.processes import ROOT, run_cli
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

USERS: tuple[Process, ...] = ("producer", "worker", "gateway", "ops")


def documented(process: Process) -> list[str]:
    """The rules that docs/operating.md gives to a process's user."""
    page = (ROOT / "docs" / "operating.md").read_text()
    (found,) = re.findall(rf"^ACL SETUSER bridge-{process} on >\S+ (.*?)\n\n|\Z", page, re.MULTILINE | re.DOTALL)[:1]
    return found.replace("\\\n", " ").split()


@pytest.mark.parametrize("process", USERS)
def test_the_page_lists_what_each_process_needs(process: Process) -> None:
    assert documented(process) == rights_of(process, Settings())["redis"].rules()


@dataclass(frozen=True)
class Guarded:
    """A server on which each process has a user of its own, with the documented rights."""

    url: str

    def environment(self, process: Process) -> dict[str, str]:
        return {
            "BRIDGE_BROKER_URL": self.url.replace("redis://", f"redis://bridge-{process}:secret@"),
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "BRIDGE_RETRY_ATTEMPTS": "2",
            "BRIDGE_RETRY_BASE_S": "0.05",
            "BRIDGE_GATEWAY_DEV": "0",
        }

    def grant(self, process: Process, rules: list[str]) -> None:
        with redis.Redis.from_url(self.url) as admin:
            admin.execute_command("ACL", "SETUSER", f"bridge-{process}", "reset", "on", ">secret", *rules)


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with EmbeddedServer(password="") as server:
        made = Guarded(server.url)
        for process in USERS:
            made.grant(process, documented(process))
        yield made


def test_the_whole_bridge_runs_with_exactly_the_documented_rights(tmp_path: Path, guarded: Guarded) -> None:
    user = uuid4()

    def emit(mode: str) -> None:
        text = json.dumps({"user_id": str(user), "mode": mode, "times": 99})
        done = run_cli("emit", "Moody", text, environment=guarded.environment("producer"))
        assert done.returncode == 0, done.stderr

    def operate(*arguments: str) -> str:
        done = run_cli(*arguments, environment=guarded.environment("ops"))
        assert done.returncode in (0, 1), done
        assert "NOPERM" not in done.stdout + done.stderr, done
        return done.stdout

    moody = {**guarded.environment("worker"), "MOODY_DIR": str(tmp_path)}
    with running_worker(tmp_path, moody) as worker, running_gateway(tmp_path, guarded.environment("gateway")) as url:
        listener = Listener(url, user)
        for mode in ("ok", "fail", "permanent", "ok"):
            emit(mode)
        wait_until(lambda: len(listener.events) >= 2, what="the events reach the browser")
        resumed = Listener(url, user, last_event_id=listener.events[0].id)
        wait_until(lambda: resumed.events, what="the history is read")
        with redis.Redis.from_url(guarded.url, decode_responses=True) as admin:
            wait_until(lambda: admin.zcard("bridge:dead:index") == 2, what="two letters")
            letters = admin.zrange("bridge:dead:index", 0, -1)
            admin.lpush("bridge.stranded", "what nobody consumes")
        for arguments in (
            ("status",), ("audit",), ("retries", "list"), ("retries", "groups"), ("dead", "groups"), ("dead", "users"),
            ("dead", "show", letters[0]), ("trace", letters[0]), ("dead", "list"), ("dead", "export"),
            ("dead", "redrive", "-y"), ("dead", "redrives"), ("dead", "log"),
            ("dead", "discard", "-y", "--reason", "seen"), ("status",), ("audit",), ("queues",),
                ("queues", "move", "bridge.stranded", "bridge.moods", "-y", "--reason", "renamed"),
        ):  # fmt: skip
            operate(*arguments)
        assert "NoPermission" not in worker.text()
    with redis.Redis.from_url(guarded.url) as admin:
        # A worker asks for the idle timeout, and goes without where servers keep that to themselves.
        denied = {(entry["username"], entry["object"]) for entry in admin.acl_log()} - {("bridge-worker", "config|get")}
    assert not denied


def test_the_rights_of_operators_suffice_to_disconnect_and_to_tell_a_sign_out(guarded: Guarded) -> None:
    settings = Settings(broker_url=guarded.environment("ops")["BRIDGE_BROKER_URL"])
    with open_store(settings) as store:
        assert disconnect_user(store, REGISTRY, uuid4(), who="a test").gateways == 0
        assert end_streams(store, REGISTRY, uuid4()) == 0


@pytest.mark.parametrize("process", USERS)
def test_each_missing_right_is_named(guarded: Guarded, process: Process) -> None:
    settings = Settings(broker_url=guarded.environment(process)["BRIDGE_BROKER_URL"])
    rights = rights_of(process, settings)["redis"]
    for rule in rights.rules():
        guarded.grant(process, [other for other in rights.rules() if other != rule])
        with connect(settings) as client:
            missing = missing_rights(client, rights, Scratch.within(rights), 0)
        assert rule in missing.sentence().split(), rule


@pytest.mark.parametrize(
    ("process", "without", "said"),
    [
        ("producer", "+evalsha", "run EVALSHA"),
        ("producer", "~bridge.*", "use the keys bridge.*"),
        ("worker", "~_kombu.*", "use the keys _kombu.*"),
        ("worker", "~unacked*", "use the keys unacked*"),
        ("worker", "&/0.celery.pidbox", "use the channels /0.celery.pidbox"),
        ("worker", "+publish", "run PUBLISH"),
        ("worker", "+client|tracking", "run CLIENT TRACKING"),
        ("gateway", "&sse:*", "use the channels sse:*"),
        ("gateway", "+subscribe", "run SUBSCRIBE"),
        ("ops", "~sse:*", "use the keys sse:*"),
        ("ops", "+script|load", "run SCRIPT LOAD"),
    ],
)
def test_check_names_the_missing_right_and_how_to_give_it(
    guarded: Guarded, process: Process, without: str, said: str
) -> None:
    guarded.grant(process, [rule for rule in documented(process) if rule != without])
    environment = {**guarded.environment(process), "BRIDGE_GATEWAY_DEV": "1", "BRIDGE_OPS_TOKEN": "x" * 20}
    done = run_cli("check", "--connect", "--for", process, environment=environment)
    assert done.returncode == 1, done
    (line,) = [line for line in done.stderr.splitlines() if "its user may not" in line]
    assert line.startswith(f"✗ {process}: redis: its user may not ")
    assert said in line
    assert line.partition("give it: ")[2].partition(". docs")[0] == without
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("process", USERS)
def test_a_user_who_may_not_select_a_database_is_told_so(guarded: Guarded, process: Process) -> None:
    guarded.grant(process, [rule for rule in documented(process) if rule != "+select"])
    environment = {**guarded.environment(process), "BRIDGE_GATEWAY_DEV": "1", "BRIDGE_OPS_TOKEN": "x" * 20}
    environment["BRIDGE_BROKER_URL"] = environment["BRIDGE_BROKER_URL"].removesuffix("/0") + "/5"
    done = run_cli("check", "--connect", "--for", process, environment=environment)
    assert done.returncode == 1, done
    # No connection to another database is made without, so that nothing else can be tried.
    (line,) = done.stderr.strip().splitlines()
    assert "NOPERM" in line and "'select'" in line and "docs/operating.md" in line, line


def test_a_user_without_any_right_is_told_all_of_them(guarded: Guarded) -> None:
    guarded.grant("producer", [])
    done = run_cli("check", "--connect", "--for", "producer", environment=guarded.environment("producer"))
    assert done.returncode == 1
    assert "NOPERM" in done.stderr or "its user may not" in done.stderr
