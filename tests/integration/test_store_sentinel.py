"""The store behind sentinels: found by name, with passwords of its own, and followed to another master."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.model.errors import StoreUnavailableError
from bridge.redis_adapter import Workers, connect, connect_async, connect_briefly, connect_broker
from bridge.redis_adapter.client import store_errors
from bridge.settings import Settings
from tests.support.own_redis import RedisServer, running_redis
from tests.support.sentinels import MASTER, Sentinels, running_sentinels
from tests.support.waiting import wait_until

PASSWORD = "of-the-master"
SENTINEL_PASSWORD = "of-the-sentinels"


@dataclass(frozen=True, slots=True)
class Group:
    master: RedisServer
    sentinels: Sentinels

    @property
    def settings(self) -> Settings:
        url = self.sentinels.url.replace("127.0.0.1", f":{PASSWORD}@127.0.0.1", 1) + "/2"
        return Settings(broker_url=url, broker_sentinel_master=MASTER, sentinel_password=SENTINEL_PASSWORD)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with (
        running_redis("--requirepass", PASSWORD, "--masterauth", PASSWORD) as master,
        running_sentinels(tmp_path, master.port, master_password=PASSWORD, password=SENTINEL_PASSWORD) as sentinels,
    ):
        yield Group(master, sentinels)


def test_every_client_finds_the_master(group: Group) -> None:
    for made in (connect, connect_briefly, connect_broker):
        with made(group.settings) as client:
            client.set("found", made.__name__)
            assert client.connection_pool.connection_kwargs["db"] == 2
            assert client.get("found") == made.__name__.encode()


async def test_the_asyncio_client_finds_it_too(group: Group) -> None:
    client = connect_async(group.settings)
    await client.set("found", "1")
    assert await client.get("found") == b"1"
    await client.aclose()


def test_a_master_that_the_sentinels_do_not_know_is_named(group: Group) -> None:

    settings = dataclasses.replace(group.settings, broker_sentinel_master="unheard-of")
    with connect_briefly(settings) as client, pytest.raises(StoreUnavailableError, match="unheard-of"):
        Workers(client).known()


def test_a_replica_at_an_address_is_no_store(group: Group) -> None:
    with running_redis("--replicaof", f"127.0.0.1 {group.master.port}", "--masterauth", PASSWORD) as replica:
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["role"] == "slave", what="it is a replica")
        with (
            connect_briefly(Settings(broker_url=replica.url)) as client,
            pytest.raises(StoreUnavailableError, match="replica"),
            store_errors(),
        ):
            client.get("anything")
