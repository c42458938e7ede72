"""What real servers refuse is told apart: a user without rights, a node of a cluster, a replica, a foreign key."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from bridge.local.redis_server import free_port
from bridge.model.errors import StoreError, StoreRefusedError, StoreUnavailableError
from bridge.model.events import SSEEvent, SSEEventType
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.redis_adapter import Workers, connect
from bridge.redis_adapter.client import store_errors
from bridge.settings import Settings
from tests.support.own_redis import RedisServer, running_redis
from tests.support.settling import Settler
from tests.support.waiting import wait_until


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def _settle(url: str) -> None:
    event = SSEEvent(event_id=uuid4(), event_type=SSEEventType.IMPORT_COMPLETED, user_id=uuid4(), data={})
    delivery = Delivery(
        event_type="import.completed", events=[AddressedEvent(event=event, payload=b"{}", user_id=event.user_id)]
    )
    with connect(settings := Settings(broker_url=url)) as client:
        Settler(client, settings).settle([delivery])


def _raised(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        _settle(url)
    return caught.value


@pytest.mark.parametrize(
    ("rules", "code"),
    [("+@all -evalsha -eval ~* &*", "NOPERM"), ("+@all ~other:* &*", "NOPERM"), ("+@all ~* resetchannels", "NOPERM")],
)
def test_a_user_without_a_right_is_refused_for_good(server: RedisServer, rules: str, code: str) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "bridge", "on", ">secret", *rules.split())
    error = _raised(server.url.replace("127.0.0.1", "bridge:secret@127.0.0.1"))
    assert isinstance(error, StoreRefusedError)
    assert error.code == code
    assert "rights" in str(error)


@pytest.mark.parametrize("login", ["bridge:wrong@", "nobody:x@", ":wrong@"])
def test_a_wrong_password_is_refused_for_good(server: RedisServer, login: str) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "bridge", "on", ">secret", "+@all", "~*", "&*")
        client.config_set("requirepass", "secret")
    error = _raised(server.url.replace("127.0.0.1", f"{login}127.0.0.1"))
    assert isinstance(error, StoreRefusedError)
    assert "password" in str(error)
    assert "wrong" not in str(error).lower().replace("wrongpass", "")


def test_no_password_is_refused_for_good(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("requirepass", "secret")
    error = _raised(server.url)
    assert isinstance(error, StoreRefusedError)
    assert "password" in str(error)


def test_a_database_that_is_not_there_is_refused_for_good(server: RedisServer) -> None:
    error = _raised(server.url.replace("/0", "/99"))
    assert isinstance(error, StoreRefusedError)
    assert "database number" in str(error)


def test_a_node_of_a_cluster_is_refused_for_good() -> None:
    with running_redis("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as node:
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            wait_until(
                lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), what="the cluster is up"
            )
        error = _raised(node.url)
        assert isinstance(error, StoreRefusedError)
        assert "Redis Cluster" in str(error)


def test_a_key_that_holds_something_else_is_refused_for_good(server: RedisServer) -> None:
    with server.client() as client:
        client.set("bridge:workers", "foreign")
    with connect(Settings(broker_url=server.url)) as client, pytest.raises(StoreRefusedError) as caught:
        Workers(client).known()
    assert caught.value.code == "WRONGTYPE"


def test_a_full_server_is_waited_for(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "100kb")
    error = _raised(server.url)
    assert isinstance(error, StoreUnavailableError)
    assert error.code == "OOM"


def test_a_server_that_has_too_few_replicas_is_waited_for(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("min-replicas-to-write", "1")
    error = _raised(server.url)
    assert isinstance(error, StoreUnavailableError)
    assert error.code == "NOREPLICAS"


def test_a_renamed_command_is_refused_for_good() -> None:
    with running_redis("--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "") as server:
        error = _raised(server.url)
    assert isinstance(error, StoreRefusedError)
    assert "unknown command" in str(error)


def test_what_is_said_holds_no_argument(server: RedisServer) -> None:
    with server.client() as client:
        client.set("k", "v")
    with pytest.raises(StoreRefusedError) as caught, store_errors(), server.client() as client:
        pipeline = client.pipeline(transaction=False)
        pipeline.hset("k", "card", "4711")
        pipeline.execute()
    assert "4711" not in str(caught.value)
    assert isinstance(caught.value.__cause__, redis.ResponseError)
