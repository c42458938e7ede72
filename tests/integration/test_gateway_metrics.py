"""What gateway processes count, in their own ``/metrics`` and added up in the operators'."""

from pathlib import Path
from uuid import uuid4

import httpx
import redis

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.ops import create_ops_app
from bridge.settings import Settings
from tests.support.gateway import Listener, running_gateway
from tests.support.ops import AppClient
from tests.support.waiting import wait_until


def value_of(text: str, name: str) -> float:
    [value] = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def test_two_gateways_are_added_up_and_keep_their_counts_when_they_end(
    settings: Settings, tmp_path: Path, redis_client: redis.Redis
) -> None:
    ops = AppClient(create_ops_app(settings, REGISTRY))
    environment = {"BRIDGE_BROKER_URL": settings.broker_url}

    def total(name: str) -> float:
        return value_of(ops.get("/metrics").text, f"bridge_gateway_{name}")

    with running_gateway(tmp_path, environment) as first, running_gateway(tmp_path, environment) as second:
        listeners = [Listener(url, uuid4()) for url in (first, first, second)]
        wait_until(lambda: total("connections") == 3, what="three streams")
        assert total("streams_opened_total") == 3
        own = httpx.get(first + "/metrics").text
        assert value_of(own, "bridge_gateway_process_connections") == 2
        assert value_of(own, "bridge_gateway_process_streams_opened_total") == 2
        listeners[0].close()
        wait_until(lambda: total("connections") == 2, what="two streams")
        for listener in listeners[1:]:
            listener.close()
        returned = Listener(second, uuid4(), last_event_id=str(uuid4()))
        returned.wait_for(1)
        returned.close()
    assert total("streams_opened_total") == 4
    assert total("replays_total") == total("resets_total") == 1
    assert total("connections") == 0
    assert value_of(ops.get("/metrics").text, "bridge_gateways") == 0
    assert redis_client.hlen("bridge:gateways") == 0
