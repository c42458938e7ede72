"""The real command, as a process: what it prints, how it fails, and what it does to a real Redis."""

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge.catalogs.finance import REGISTRY
from bridge.local.redis_server import EmbeddedServer, free_port
from tests.support.addressed_events import direct
from tests.support.processes import COMMAND, assert_sentence, clean_environment, run_cli, running_cli
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S

USER = "0190f0a1-0000-7000-8000-000000000001"
EVENT = json.dumps({"file_name": "may.csv", "reason": "no header\nid: forged"})


def test_registry_as_json_is_the_registry() -> None:
    answer = run_cli("registry", "--json")
    assert answer.returncode == 0
    assert len(json.loads(answer.stdout)["events"]) == len(REGISTRY.events)


def test_a_catalog_in_the_folder_of_the_call_is_found(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("from bridge.catalogs.finance import REGISTRY as registry\n")
    environment = {"BRIDGE_REGISTRY": "theirs:registry", "PYTHONPATH": ""}
    answer = run_cli("check", environment=environment, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "theirs:registry has" in answer.stdout


def test_check_reports_everything_at_once_and_fails() -> None:
    environment = {"BRIDGE_STREAM_MAXLEN": "0", "BRIDGE_BROKER_ULR": "1", "BRIDGE_REGISTRY": "nope:registry"}
    answer = run_cli("check", environment=environment)
    assert_sentence(answer, "BRIDGE_STREAM_MAXLEN", "BRIDGE_BROKER_ULR", "no module 'nope'", code=2)


def test_check_connects_on_request_and_warns_of_eviction(redis_url: str, redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        answer = run_cli("check", "--connect", "--json", environment={"BRIDGE_BROKER_URL": redis_url})
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert answer.returncode == 0, answer.stderr
    findings = json.loads(answer.stdout)
    assert [f["level"] for f in findings if f["subject"] == "redis"] == ["ok", "warning"]
    assert any("allkeys-lru" in finding["text"] for finding in findings)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--connect"),
        ("emit", "import.failed", "--user", USER, EVENT),
        ("tail", USER),
        ("audit",),
        ("trace", USER),
    ],
)
def test_a_redis_that_is_not_there_is_a_sentence(arguments: tuple[str, ...]) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    answer = run_cli(*arguments, environment={"BRIDGE_BROKER_URL": url})
    assert_sentence(answer, "redis://:***@127.0.0.1", code=1)
    assert "secret" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("command", ["tail", "trace"])
def test_a_password_that_redis_does_not_know_is_called_so(command: str, redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis://nobody:secret@")
    answer = run_cli(command, USER, environment={"BRIDGE_BROKER_URL": url})
    assert_sentence(answer, "WRONGPASS", "Put a user and a password that this Redis knows", code=1)


@pytest.mark.parametrize("url", ["nonsense", "http://host", "redis://host:port"])
def test_a_wrong_redis_url_is_a_sentence(url: str) -> None:
    assert_sentence(run_cli("tail", USER, environment={"BRIDGE_REDIS_URL": url}), "BRIDGE_REDIS_URL", code=2)


def test_emit_waits_for_the_broker_and_prints_the_id(redis_url: str, redis_client: redis.Redis) -> None:
    event_id = str(uuid4())
    text = json.dumps({**json.loads(EVENT), "event_id": event_id})
    answer = run_cli(
        "emit", "FileImportFailed", "-", "--user", USER, environment={"BRIDGE_BROKER_URL": redis_url}, stdin=text
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{event_id}\n"
    assert redis_client.llen("bridge.import") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("FileImportFaild", EVENT), "did you mean FileImportFailed"),
        (("import.failed", "{"), "no JSON"),
        (("import.failed", "{}"), "user_id"),
        (("import.failed", EVENT, "--user", "me"), "is no user id: those are UUIDs"),
    ],
)
def test_emit_says_what_is_wrong_with_an_event(arguments: tuple[str, ...], said: str) -> None:
    assert_sentence(run_cli("emit", *arguments), said, code=2)


def test_an_oversize_event_is_refused_and_not_sent(redis_url: str, redis_client: redis.Redis) -> None:
    text = json.dumps({"user_id": USER, "file_name": "x" * 100_000, "reason": ""})
    answer = run_cli("emit", "import.failed", environment={"BRIDGE_BROKER_URL": redis_url}, stdin=text)
    assert_sentence(answer, "BRIDGE_EVENT_MAX_BYTES", code=2)
    assert redis_client.llen("bridge.import") == 0


def test_the_gateway_says_that_its_port_is_in_use(redis_url: str) -> None:
    taken = redis_url.rpartition(":")[2].partition("/")[0]
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_GATEWAY_DEV": "1"}
    assert_sentence(run_cli("gateway", "--port", taken, environment=environment), f"Port {taken} is in use", code=1)


def test_the_gateway_wants_a_way_to_know_who_is_asking() -> None:
    assert_sentence(run_cli("gateway"), "BRIDGE_JWT_SECRET", code=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_gateway_ends_cleanly(redis_url: str, tmp_path: Path, number: signal.Signals, code: int) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_GATEWAY_DEV": "1"}
    with running_cli(tmp_path, "gateway", "--port", str(free_port()), environment=environment) as gateway:
        gateway.wait_for("startup complete")
        assert gateway.end(number) == code
        assert "Traceback" not in gateway.output


def test_tail_follows_across_a_restart_of_redis(tmp_path: Path) -> None:
    """Events before it, while Redis is there, and after Redis came back: each once."""
    with EmbeddedServer(folder=tmp_path / "redis") as server:
        environment = {"BRIDGE_BROKER_URL": server.url}
        publish(server.url, "before")
        with running_cli(tmp_path, "tail", USER, "--json", "--from-start", environment=environment) as tail:
            tail.wait_for('"before"')
            publish(server.url, "during")
            tail.wait_for('"during"')
            server.kill()
            tail.wait_for("is away; waiting")
            server.start()
            publish(server.url, "after")
            tail.wait_for('"after"')
            tail.wait_for("Redis is back")
            assert tail.end() == 130
        shown = [json.loads(line) for line in tail.output.splitlines() if line.startswith("{")]
    assert [row["data"]["file_name"] for row in shown if row["type"] == "import.failed"] == [
        "before",
        "during",
        "after",
    ]
    assert "Traceback" not in tail.output


def test_tail_ends_when_its_reader_has_left(redis_url: str) -> None:
    publish(redis_url, "one")
    command = f"{shlex.join([*COMMAND, 'tail', USER, '--from-start', '--json'])} | head -1; echo ${{PIPESTATUS[0]}}"
    environment = clean_environment({"BRIDGE_BROKER_URL": redis_url})
    with subprocess.Popen(
        ["bash", "-c", command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as pipe:
        assert pipe.stdout is not None
        assert '"one"' in pipe.stdout.readline()
        publish(redis_url, "two")
        said, complaints = pipe.communicate(timeout=PROCESS_TIMEOUT_S)
    assert (said, complaints) == ("141\n", "")


def test_tail_filters_and_is_safe_for_the_terminal(redis_url: str, tmp_path: Path) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url}
    publish(redis_url, "may\x1b[2J.csv")
    with running_cli(tmp_path, "tail", USER, "-c", "import", "--from-start", environment=environment) as tail:
        tail.wait_for(r"import\.failed")
        assert tail.end() == 130
    assert "\x1b" not in tail.output
    with running_cli(tmp_path, "tail", USER, "-c", "security", "--from-start", environment=environment) as tail:
        wait_for_subscriber(redis_url)
        assert tail.end() == 130
    assert "import.failed" not in tail.output


def publish(url: str, file_name: str) -> None:
    """Publish without a worker, by the same script."""
    from uuid import UUID

    from bridge.model.events import SSEEvent, SSEEventType, encode_payload
    from bridge.model.publishing import AddressedEvent
    from bridge.settings import Settings
    from tests.support.settling import Settler

    data = {"file_name": file_name, "error": "none"}
    event = SSEEvent(event_type=SSEEventType.IMPORT_FAILED, user_id=UUID(USER), data=data)
    with redis.Redis.from_url(url) as client:
        addressed = AddressedEvent(event=event, payload=encode_payload(data), user_id=event.user_id)
        Settler(client, Settings(broker_url=url)).settle(direct([addressed]))


def wait_for_subscriber(url: str) -> None:
    deadline = time.monotonic() + 10 * PATIENCE
    with redis.Redis.from_url(url) as client:
        while not client.pubsub_channels("sse:user:*"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_audit_lists_what_is_missing_and_writes_it_off(redis_url: str, redis_client: redis.Redis) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url}
    event_id = run_cli("emit", "import.failed", "--user", USER, EVENT, environment=environment).stdout.strip()
    answer = run_cli("audit", "--grace", "0", environment=environment)
    assert answer.returncode == 0, answer.stderr
    assert "The accounting balances" in answer.stdout
    assert "Nothing that the broker took is missing" in answer.stdout
    redis_client.delete("bridge.import")
    answer = run_cli("audit", "--grace", "0", environment=environment)
    assert answer.returncode == 1
    assert "Missing: 1 " in answer.stdout
    assert event_id in answer.stdout
    answer = run_cli("audit", "--grace", "0", "--json", environment=environment)
    assert answer.returncode == 1
    (listed,) = json.loads(answer.stdout)["missing"]["listed"]
    assert (listed["event_id"], listed["type"], listed["queue"]) == (event_id, "import.failed", "bridge.import")
    answer = run_cli("audit", "--grace", "0", "--write-off", "a test", environment=environment)
    assert answer.returncode == 0
    assert "Written off: 1" in answer.stdout
    redis_client.hincrby("bridge:counts", "published", 2)
    answer = run_cli("audit", environment=environment)
    assert answer.returncode == 1
    assert "does NOT balance; accounted for, but never accepted: 2" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audit", "--write-off", " "), "a reason"),
        (("audit", "--unclear"), "belongs to --write-off"),
        (("audit", "--grace", "-1"), "--grace"),
        (("trace", "nonsense"), "not a valid UUID"),
    ],
)
def test_a_wrong_question_to_the_books_is_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    assert_sentence(run_cli(*arguments), said, code=2)


def test_trace_tells_where_an_event_is(redis_url: str, redis_client: redis.Redis) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url}
    event_id = run_cli("emit", "import.failed", "--user", USER, EVENT, environment=environment).stdout.strip()
    answer = run_cli("trace", event_id, environment=environment)
    assert answer.returncode == 0, answer.stderr
    assert "its message stands on its queue" in answer.stdout
    answer = run_cli("trace", event_id, "--user", USER, "--json", environment=environment)
    assert [place["whereabouts"] for place in json.loads(answer.stdout)["places"]] == ["queued"]
    redis_client.hset("bridge:dead:tombstones", event_id, '{"who": "a\\u001b[2J", "reason": "[bold]"}')
    answer = run_cli("trace", event_id, environment=environment)
    assert "\x1b" not in answer.stdout
    assert "discarded" in answer.stdout
    assert "[bold]" in answer.stdout
    answer = run_cli("trace", USER, environment=environment)
    assert_sentence(answer, "is unknown", code=1)
