"""How Celery and kombu are set up: what no worker shows before something goes wrong."""

import pytest

from bridge import Settings
from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime.redis_transport import ClaimingSentinelTransport
from bridge.worker import create_app


def test_a_worker_that_moves_on_to_another_sentinel_still_claims() -> None:
    urls = "sentinel://:secret@one:1/4;sentinel://:secret@two:2/4"
    settings = Settings(broker_url="sentinel://:secret@one:1;sentinel://two:2/4", redis_url="redis://three:3/0")
    connection = create_app(settings, REGISTRY).connection_for_read()
    for place in (("one", 1), ("two", 2), ("one", 1)):
        assert (connection.hostname, connection.port, connection.password) == (*place, "secret")
        assert connection.virtual_host == "4"
        assert connection.get_transport_cls() is ClaimingSentinelTransport
        # kombu's channel looks here for all sentinels, by this scheme.
        assert connection.alt == urls.split(";")
        connection.maybe_switch_next()


@pytest.mark.parametrize("limit_s", [1, 2, 120])
def test_an_extractor_is_warned_before_its_process_is_killed(limit_s: int) -> None:
    settings = Settings(task_time_limit_s=limit_s, visibility_timeout_s=limit_s + 1)
    assert 0 < settings.task_soft_time_limit_s < limit_s


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis://:secret@one:1/4", "redis"),
        ("sentinel://:secret@one:1/4;sentinel://:secret@two:2/4", "sentinel"),
        ("amqp://guest@one//", "amqp"),
    ],
)
def test_whoever_only_looks_at_the_broker_finds_a_name_that_tools_know(url: str, scheme: str) -> None:
    """Flower chooses by the scheme how it counts what waits, and knows nobody's but kombu's own."""
    app = create_app(Settings(broker_url=url, redis_url="redis://three:3/0"), REGISTRY)
    assert app.connection().as_uri().partition("://")[0] == scheme
    consuming = app.connection_for_read()
    assert consuming.transport_cls == {"amqp": "amqp"}.get(scheme, f"bridge-{scheme}")
