"""The clock of the store: it says what Redis says, and seldom asks."""

import time

import pytest
import redis

from bridge import Settings
from bridge.local.redis_server import free_port
from bridge.model.errors import StoreUnavailableError
from bridge.redis_adapter import StoreClock, connect


def redis_s(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6


def calls(client: redis.Redis) -> int:
    return int(client.info("commandstats")["cmdstat_time"]["calls"])


def test_it_is_redis_time_whatever_this_machine_says(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    with connect(settings) as client:
        clock = StoreClock(client)
        for _ in range(3):
            before, now, after = redis_s(client), clock.now_s(), redis_s(client)
            assert before - 0.1 <= now <= after + 0.1
            assert now <= clock.now().timestamp() <= redis_s(client) + 0.1


def test_redis_is_asked_once_for_many_readings(settings: Settings) -> None:
    with connect(settings) as client:
        clock = StoreClock(client)
        clock.now_s()
        before = calls(client)
        for _ in range(1_000):
            clock.now_s()
        assert calls(client) == before


def test_without_redis_there_is_no_time() -> None:
    settings = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0")
    with connect(settings) as client, pytest.raises(StoreUnavailableError):
        StoreClock(client).now_s()
