"""Two bridges on one Redis server, each with its own processes: neither hears, takes or counts what is the other's."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge import Emitter, RedisSSEPublisher, Settings, SSEEvent, SSEEventType
from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.audit import Auditor
from bridge.redis_adapter import connect, connect_async, read_balance
from bridge.wiring import store_of
from tests.support.gateway import Listener, running_gateway
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

NUMBER = 40
CASES = {
    "two databases": ({"database": 0, "prefix": ""}, {"database": 1, "prefix": ""}),
    "two prefixes on one database": ({"database": 0, "prefix": "prod:"}, {"database": 0, "prefix": "staging:"}),
    "one without a prefix": ({"database": 2, "prefix": ""}, {"database": 2, "prefix": "staging:"}),
}


class Deployment:
    """A worker, a gateway, and a producer in this process."""

    def __init__(self, settings: Settings, gateway: str) -> None:
        self.settings, self.gateway = settings, gateway

    def emit(self, user_id: UUID) -> list[str]:
        events = [
            FileImportSucceeded(user_id=user_id, file_name="f.csv", transaction_count=number)
            for number in range(NUMBER)
        ]
        emitter = Emitter(self.settings, REGISTRY)
        assert emitter.emit_many(events) == NUMBER
        assert emitter.flush(WAIT_S)
        emitter.close()
        return [str(event.event_id) for event in events]

    async def broadcast(self) -> str:
        event = SSEEvent(event_type=SSEEventType.AI_RESPONSE_CHUNK, user_id=uuid4(), data={})
        async with connect_async(self.settings) as client:
            assert (await RedisSSEPublisher(client, self.settings).broadcast(event)).ok
        return str(event.event_id)


@contextmanager
def deployed(server: EmbeddedServer, folder: Path, *, database: int, prefix: str) -> Iterator[Deployment]:
    folder.mkdir()
    url = f"redis://127.0.0.1:{server.port}/{database}"
    environment = {"BRIDGE_BROKER_URL": url, "BRIDGE_PREFIX": prefix}
    with running_worker(folder, environment), running_gateway(folder, environment) as gateway:
        yield Deployment(Settings(broker_url=url, prefix=prefix), gateway)


@pytest.mark.parametrize("case", CASES)
async def test_neither_of_two_bridges_on_one_server_hears_the_other(case: str, tmp_path: Path) -> None:
    user = uuid4()
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer())
        bridges = [
            stack.enter_context(deployed(server, tmp_path / f"bridge-{place}", **parts))  # type: ignore[arg-type]
            for place, parts in enumerate(CASES[case])
        ]
        # The same user is in both, as in a staging that was filled from production.
        listeners = [Listener(bridge.gateway, user) for bridge in bridges]
        expected = []
        for bridge in bridges:
            ids = bridge.emit(user)
            expected.append([*ids, await bridge.broadcast()])
        for listener, ids in zip(listeners, expected, strict=True):
            listener.wait_for(NUMBER + 1)
            assert sorted(str(event.id) for event in listener.events) == sorted(ids)
        for bridge, listener in zip(bridges, listeners, strict=True):
            first, *rest = [str(event.id) for event in listener.events]
            again = Listener(bridge.gateway, user, last_event_id=first)
            assert [str(event.id) for event in again.wait_for(NUMBER)] == rest
            again.close()
        for listener in listeners:
            listener.close()
        for bridge in bridges:
            _expect_own_books(bridge)


def _expect_own_books(bridge: Deployment) -> None:
    with connect(bridge.settings) as client:
        wait_until(lambda: not read_balance(client).open, what="everything has ended")
        balance = read_balance(client)
        assert (balance.accepted, balance.published, balance.unbooked, balance.difference) == (
            NUMBER + 1,
            NUMBER + 1,
            0,
            0,
        )
        audit = Auditor(store_of(client, bridge.settings), bridge.settings, REGISTRY).audit()
        assert not audit.missing
        if bridge.settings.prefix:
            # Whatever the bridge writes, its broker's keys included, has the prefix.
            names = {key.decode() for key in client.scan_iter(count=1000)}
            others = {name for name in names if not name.startswith(("prod:", "staging:"))}
            own = {name for name in names if name.startswith(bridge.settings.prefix)}
            assert own
            if others:  # of the bridge that has none
                assert all(bridge.settings.prefix not in name for name in others), others


def test_names_without_a_prefix_appear_nowhere_under_one(tmp_path: Path) -> None:
    with EmbeddedServer() as server, deployed(server, tmp_path / "one", database=0, prefix="one:") as bridge:
        bridge.emit(uuid4())
        with connect(bridge.settings) as client:
            wait_until(lambda: read_balance(client).published == NUMBER, what="everything is published")
            names = {key.decode() for key in client.scan_iter(count=1000)}
            channels = {channel.decode() for channel in client.pubsub_channels("*")}
        assert {name for name in names if not name.startswith("one:")} == set()
        ours = {name for name in channels if "sse:" in name}
        assert ours
        assert all(name.startswith("one:sse:") for name in ours), ours
