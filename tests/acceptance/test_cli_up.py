"""``sse-bridge up``: everything with one command, and nothing of it left afterwards."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import redis
from httpx_sse import connect_sse

from bridge.local.redis_server import free_port
from tests.support.processes import (
    CliProcess,
    assert_sentence,
    lines_of,
    run_cli,
    running_cli,
    wait_until_gone,
)
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S

USER = "0190f0a1-0000-7000-8000-000000000001"


def wait_until_up(bridge: CliProcess) -> dict[str, int]:
    bridge.wait_for("The bridge is up")
    return bridge.pids()


def test_an_event_emitted_by_command_arrives_at_a_client(tmp_path: Path) -> None:
    port = free_port()
    with running_cli(tmp_path, "up", "--port", str(port)) as bridge:
        pids = wait_until_up(bridge)
        assert "development mode" in bridge.output
        assert "Warning" not in bridge.output
        broker = bridge.wait_for(r"BRIDGE_BROKER_URL=(\S+)").group(1)
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=urlsplit(broker).port) as stranger:
            stranger.ping()
        password = urlsplit(broker).password or ""
        assert len(password) >= 32
        seen = [line for line in bridge.output.splitlines() if password in line]
        assert seen == [f"  producers export BRIDGE_BROKER_URL={broker}"]
        assert not [pid for pid in pids.values() if password in " ".join(psutil.Process(pid).cmdline())]
        url = f"http://127.0.0.1:{port}/api/v1/events"
        with (
            httpx.Client(timeout=PROCESS_TIMEOUT_S) as client,
            connect_sse(client, "GET", url, params={"user_id": USER}) as source,
        ):
            sent = run_cli(
                "emit", "import.failed", "--user", USER, '{"file_name": "may.csv", "reason": "no header"}',
                environment={"BRIDGE_BROKER_URL": broker},
            )  # fmt: skip
            assert sent.returncode == 0, sent.stderr
            arrived = next(event for event in source.iter_sse() if event.data)
        assert arrived.id == sent.stdout.strip()
        assert json.loads(arrived.data) == {"file_name": "may.csv", "error": "no header"}
        assert bridge.end(signal.SIGINT) == 130
    assert lines_of(["gateway", "worker", "server"], bridge.output) == ["gateway", "worker", "server"]
    wait_until_gone(pids)
    assert "Traceback" not in bridge.output


@pytest.mark.parametrize("victim", ["worker", "gateway", "server"])
def test_if_one_part_dies_all_are_stopped(tmp_path: Path, victim: str) -> None:
    with running_cli(tmp_path, "up", "--port", str(free_port())) as bridge:
        pids = wait_until_up(bridge)
        os.kill(pids[victim], signal.SIGKILL)
        assert bridge.process.wait(PROCESS_TIMEOUT_S) == 1
    assert f"The {victim} ended by signal SIGKILL" in bridge.output
    wait_until_gone(pids)


def test_if_the_command_itself_is_killed_nothing_is_left(tmp_path: Path) -> None:
    with running_cli(tmp_path, "up", "--port", str(free_port())) as bridge:
        pids = wait_until_up(bridge)
        bridge.process.kill()
        bridge.process.wait()
        wait_until_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no folder is swept")
@pytest.mark.parametrize("name", ["up", "demo"])
def test_if_the_command_itself_is_killed_its_temporary_folders_go_and_only_those(tmp_path: Path, name: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "bridge-redis-of-another").mkdir()
    arguments = (name, "--port", str(free_port()), *(("--no-open",) if name == "demo" else ()))
    with running_cli(tmp_path, *arguments, environment={"TMPDIR": str(scratch)}) as bridge:
        pids = bridge.pids()
        assert len(list(scratch.glob("bridge-*"))) == (3 if name == "demo" else 2)
        bridge.process.kill()
        bridge.process.wait()
        wait_until_gone(pids)
    deadline = time.monotonic() + 20 * PATIENCE
    while len(left := [path.name for path in scratch.glob("bridge-*")]) > 1:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert left == ["bridge-redis-of-another"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no folder is swept")
def test_if_the_command_itself_is_killed_data_is_kept_where_asked(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with running_cli(tmp_path, "up", "--port", str(free_port()), "--data-dir", str(folder)) as bridge:
        pids = wait_until_up(bridge)
        bridge.process.kill()
        bridge.process.wait()
        wait_until_gone(pids)
    assert list((folder / "server").glob("appendonlydir/*.aof"))


def test_sigterm_stops_in_order_and_data_is_kept_where_asked(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    arguments = ("up", "--port", str(free_port()), "--redis-port", str(free_port()), "--data-dir", str(folder))
    with running_cli(tmp_path, *arguments) as bridge:
        pids = wait_until_up(bridge)
        assert bridge.end(signal.SIGTERM) == 0
    wait_until_gone(pids)
    assert list((folder / "server").glob("appendonlydir/*.aof"))
    secret = folder / "server" / "secrets.conf"
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_kept_server_keeps_its_address_and_password(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    arguments = ("up", "--redis-port", str(free_port()), "--data-dir", str(folder))
    addresses = []
    for _ in range(2):
        with running_cli(tmp_path, *arguments, "--port", str(free_port())) as bridge:
            wait_until_up(bridge)
            addresses.append(bridge.wait_for(r"BRIDGE_BROKER_URL=(\S+)").group(1))
            assert bridge.end(signal.SIGTERM) == 0
    assert addresses[0] == addresses[1]


def test_a_port_in_use_is_said_before_anything_starts(redis_url: str) -> None:
    taken = redis_url.rpartition(":")[2].partition("/")[0]
    answer = run_cli("up", "--port", taken)
    assert_sentence(answer, f"Port {taken} is in use", "--port", code=1)
    assert "server" not in answer.stdout


def test_a_redis_of_ones_own_is_used(redis_url: str, tmp_path: Path) -> None:
    with running_cli(tmp_path, "up", "--port", str(free_port()), environment={"BRIDGE_REDIS_URL": redis_url}) as bridge:
        pids = wait_until_up(bridge)
        assert "server" not in pids
        assert bridge.end() == 130
    wait_until_gone(pids)
