"""What check says of a Redis, from its INFO alone, and how settings travel to a child process."""

import pytest

from bridge.cli.check import inspect_configuration
from bridge.cli.connecting import judge_redis
from bridge.local.stack import environment_of
from bridge.redis_adapter import server_faults, server_warnings
from bridge.settings import Settings, load_settings

GOOD = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": 1}


def levels(info: dict[str, object]) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in judge_redis(info, "redis://host", "redis")]


def test_a_good_redis_is_only_ok() -> None:
    assert levels(GOOD) == [("ok", "redis://host answers: Redis 7.2.4.")]


def test_valkey_is_called_by_its_name() -> None:
    assert levels({**GOOD, "server_name": "valkey", "valkey_version": "9.0.1"})[0][1].endswith("Valkey 9.0.1.")


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        ({"redis_version": "6.2.14"}, "fault", "need 7.0"),
        ({"redis_version": ""}, "fault", "need 7.0"),
        ({"maxmemory_policy": "allkeys-lru"}, "warning", "allkeys-lru"),
        ({"aof_enabled": 0}, "warning", "appendonly"),
    ],
)
def test_what_would_lose_events_is_named(info: dict[str, object], level: str, said: str) -> None:
    assert any(found == level and said in text for found, text in levels({**GOOD, **info}))


@pytest.mark.parametrize("info", [{"redis_version": "6.2.14"}, {**GOOD, "maxmemory_policy": "allkeys-lru"}])
def test_check_says_of_a_redis_what_the_worker_says_of_it(info: dict[str, object]) -> None:
    said = " ".join(text for _, text in levels(info))
    for sentence in (*server_faults(info), *server_warnings(info)):
        assert sentence in said


def test_faults_of_settings_and_registry_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_STREAM_MAXLEN", "0")
    monkeypatch.setenv("BRIDGE_BROKER_ULR", "1")
    settings, registry, findings = inspect_configuration("nowhere:registry")
    assert settings is None
    assert registry is None
    faults = [finding.subject for finding in findings if finding.level == "fault"]
    assert faults == ["settings", "settings", "registry"]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(gateway_dev=True, gateway_port=9, retry_base_s=0.5, source="a b", stream_ttl_s=0),
        Settings(broker_url="redis://:p%40ss@host:1/2", jwt_secret="x" * 40),
    ],
)
def test_settings_survive_the_way_through_an_environment(settings: Settings) -> None:
    assert load_settings(environment_of(settings)) == settings
