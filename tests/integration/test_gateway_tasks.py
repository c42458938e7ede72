"""A task of the gateway that fails is run again and shown: in health, and in the process's own metrics."""

from uuid import uuid4

import httpx
import pytest

from bridge.gateway.gateway import Gateway
from bridge.settings import Settings
from tests.support.streams import SECRET, Served, Stream, until
from tests.support.waiting import WAIT_S


async def test_a_failed_task_is_named_until_it_runs_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = 2
    sweep = Gateway._sweep

    async def failing(gateway: Gateway) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise KeyError("a fault of ours")
        await sweep(gateway)

    monkeypatch.setattr(Gateway, "_sweep", failing)
    with Served(Settings(broker_url=redis_url, jwt_secret=SECRET)) as served:
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            ready = await client.get(served.url + "/health/ready")
            assert ready.status_code == 503
            assert ready.json()["faults"] == ["The task bridge-gateway-sweep failed: KeyError."]
            stream = await Stream(served.url, uuid4()).open(client)
            await until(lambda: not failures)
            metrics = (await client.get(served.url + "/metrics")).text
            assert 'bridge_gateway_process_task_running{task="bridge-gateway-hub"} 1.0' in metrics
            assert 'bridge_gateway_process_task_restarts_total{task="bridge-gateway-sweep"}' in metrics
            assert not stream.ended
            await stream.close()
