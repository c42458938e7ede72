"""examples/shop/pay_order.py: what is paid is told of, by whichever process, and what is declined is not."""

import sys
from pathlib import Path
from typing import Any

import redis

from bridge.local.redis_server import free_port
from tests.support.items import envelopes_of
from tests.support.processes import run
from tests.support.worker import clean_environment

COMMAND = [sys.executable, "-m", "examples.shop.pay_order"]


def paid(client: redis.Redis) -> list[Any]:
    items = client.lrange("bridge.orders", 0, -1)
    return [envelope["data"]["order_number"] for item in items for envelope in envelopes_of(item)]


def test_what_is_committed_is_told_of_by_whichever_process_and_nothing_else(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = clean_environment(
        {"BRIDGE_REGISTRY": "examples.shop.catalog:registry", "BRIDGE_BROKER_URL": redis_url}
    )
    away = {**environment, "BRIDGE_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0", "BRIDGE_EMIT_EXIT_FLUSH_S": "0"}
    command = [*COMMAND, f"sqlite:///{tmp_path}/shop.sqlite"]
    first = run(command, away)
    assert first.returncode == 1
    assert "it waits in the table bridge_outbox" in first.stderr
    second = run(command, environment)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines() == [
        "The payment of S-1002 was declined.",
        "The customer of order S-1001 is told.",
    ]
    assert paid(redis_client) == ["S-1001", "S-1001"], "what the first committed, too"
