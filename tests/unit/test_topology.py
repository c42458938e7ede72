"""What the settings say of the servers: one or two, at an address or behind sentinels, with whose password."""

import pytest

from bridge.settings import Settings
from bridge.settings.topology import topology


@pytest.mark.parametrize(
    ("broker", "store"),
    [
        ("redis://h:6379/0", ""),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://H", "redis://h:6379/0"),
        ("redis://u:p@h/1", "rediss://u:q@h/1"),
        ("sentinel://a:1;sentinel://b:2/3", ""),
        ("sentinel://a:1/3;sentinel://b:2", "sentinel://b:2;sentinel://a:1/3"),
    ],
)
def test_broker_and_store_are_one_server(broker: str, store: str) -> None:
    assert topology(Settings(broker_url=broker, redis_url=store)).one_server


@pytest.mark.parametrize(
    ("broker", "store"),
    [
        ("redis://h/0", "redis://h/1"),
        ("redis://h/0", "redis://i/0"),
        ("redis://u:p@h/0", "redis://v:p@h/0"),
        ("amqp://h", "redis://h"),
        ("sentinel://a:1", "redis://a:1"),
        ("sentinel://a:1/0", "sentinel://a:1/1"),
    ],
)
def test_broker_and_store_are_two(broker: str, store: str) -> None:
    assert not topology(Settings(broker_url=broker, redis_url=store)).one_server


def test_one_group_of_sentinels_may_watch_two_masters() -> None:
    url = "sentinel://a:1;sentinel://b:2"
    servers = topology(
        Settings(broker_url=url, redis_url=url, broker_sentinel_master="queues", redis_sentinel_master="books")
    )
    assert servers.broker is not None
    assert (servers.broker.master, servers.store.master) == ("queues", "books")
    assert not servers.one_server


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://user:p%40ss@a:1;sentinel://b/3",
        "sentinel://user:p%40ss@a:1/3;sentinel://user:p%40ss@b/3",
        "sentinel://a:1;sentinel://user:p%40ss@b:26379/3",
        "sentinel://user:p%40ss@a:1/3;b",
    ],
)
def test_password_and_database_stand_with_any_of_the_sentinels(url: str) -> None:
    place = topology(Settings(broker_url=url)).store
    assert place.sentinels == (("a", 1), ("b", 26379))
    assert place.url == "redis://user:p%40ss@a:1/3"
    assert place.kombu_url() == "sentinel://user:p%40ss@a:1/3;sentinel://user:p%40ss@b:26379/3"


def test_sentinels_have_a_password_and_tls_of_their_own() -> None:
    settings = Settings(
        broker_url="sentinel://:master@a?ssl_ca_certs=/ca.pem", sentinel_password="other", sentinel_tls=True
    )
    place = topology(settings).store
    assert place.url == "rediss://:master@a:26379/0?ssl_ca_certs=/ca.pem"
    assert place.sentinel_login == ("", "other")


def test_an_address_stays_as_it_is() -> None:
    place = topology(Settings(broker_url="rediss://u:p@h:1/2?ssl_cert_reqs=none")).store
    assert (place.url, place.sentinels, place.database) == ("rediss://u:p@h:1/2?ssl_cert_reqs=none", (), 2)
