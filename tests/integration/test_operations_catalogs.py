"""Processes of different releases: status, check and a dry run say whose code is another one."""

from pathlib import Path

import redis

from bridge import Settings
from bridge.redis_adapter import DeadLetters
from tests.support import keys
from tests.support.letters import a_letter
from tests.support.processes import run_cli
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

CATALOGS = "tests.support.skewed_catalogs"


def test_a_process_with_another_catalog_than_a_worker_says_so(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    def environment(catalog: str) -> dict[str, str]:
        return {
            "BRIDGE_BROKER_URL": settings.broker_url,
            "BRIDGE_REGISTRY": f"{CATALOGS}:{catalog}",
            "BRIDGE_RELEASE": "shop 7.1",
        }

    DeadLetters(client, settings).bury([a_letter()])
    with running_worker(tmp_path, environment("old")):
        wait_until(lambda: client.hlen(keys.WORKERS), what="the worker reports")
        for command in ("status", "dead redrive --dry-run", "check --connect --for cli"):
            same = run_cli(*command.split(), environment=environment("old"))
            assert "This process has" not in same.stdout + same.stderr, command
            other = run_cli(*command.split(), environment=environment("newest"))
            assert "This process has another catalog than worker" in other.stdout + other.stderr, command
            assert "release shop 7.1" in other.stdout + other.stderr, command
