"""Commands without a terminal that would wait or fail without a word: they say what is the matter, and what to do."""

import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import redis

from bridge import Settings
from bridge.redis_adapter import DeadLetters
from tests.support import keys
from tests.support.letters import a_letter
from tests.support.own_redis import running_redis
from tests.support.processes import run_cli
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, clean_environment

REGISTRY = {"BRIDGE_REGISTRY": "tests.support.moody_catalog:registry"}


def test_a_redrive_without_workers_says_so_at_once(settings: Settings, client: redis.Redis, tmp_path: Path) -> None:
    DeadLetters(client, settings).bury([a_letter(), a_letter()])
    said = tmp_path / "said"
    with said.open("wb") as stderr:
        command = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", "dead", "redrive", "-y"],
            cwd=ROOT,
            env=clean_environment() | REGISTRY | {"BRIDGE_BROKER_URL": settings.broker_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_until(lambda: client.llen("bridge.moods"), timeout_s=PROCESS_TIMEOUT_S, what="the letters are sent")
        wait_until(lambda: "of 2" in said.read_text(), what="it says how far it is")
        (replay,) = client.zrange(keys.REDRIVES, 0, -1)
        assert "No worker consumes" in said.read_text()
        assert f"--resume {replay.decode()}" in said.read_text()
    finally:
        command.send_signal(signal.SIGINT)
        assert command.wait(PROCESS_TIMEOUT_S) == 130


def test_emit_with_a_wrong_password_says_what_the_server_says() -> None:
    with running_redis() as server, server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "bridge", "reset", "on", ">right", "+@all", "~*", "&*")
        url = server.url.replace("127.0.0.1", "bridge:wrong@127.0.0.1")
        text = f'{{"user_id": "{uuid4()}", "mode": "ok"}}'
        done = run_cli("emit", "Moody", text, environment=REGISTRY | {"BRIDGE_BROKER_URL": url})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "WRONGPASS" in done.stderr
    assert "BRIDGE_BROKER_URL" in done.stderr
    assert "wrong@" not in done.stderr
