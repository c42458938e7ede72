"""What tests of several modules ask for."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.operations.redrive import Redrives
from bridge.producer import Emitter
from bridge.redis_adapter import connect
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.moody_catalog import registry
from tests.support.ops_page import OPERATOR, VIEWER
from tests.support.streams import Served
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import WorkerProcess, moody_environment, running_worker


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """The bridge's own client; a module may have another."""
    with connect(settings) as client:
        yield client


@pytest.fixture
def ops_settings(redis_url: str) -> Settings:
    """The operators' page is on, for both roles."""
    return Settings(broker_url=redis_url, ops_token=OPERATOR, ops_view_token=VIEWER)


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """Of a worker on the settings' servers."""
    return moody_environment(settings, tmp_path)


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    """A producer's."""
    emitter = Emitter(settings, registry)
    yield emitter
    emitter.close()


@pytest.fixture
def replays(client: redis.Redis, settings: Settings) -> Redrives:
    """Redrives to the queues of these settings."""
    return Redrives(store_of(client, settings), settings, registry)


@pytest.fixture
def idle(redis_url: str) -> Settings:
    """Settings whose queues no worker consumes."""
    return Settings(broker_url=redis_url, broker_keyprefix="idle:")


@pytest.fixture
def idle_replays(client: redis.Redis, idle: Settings) -> Redrives:
    """Redrives to queues that no worker consumes."""
    return Redrives(store_of(client, idle), idle, registry)


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    """A gateway in this process."""
    with Served(settings) as gateway:
        yield gateway


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """A client of gateways, with a connection of its own for each stream."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S, limits=limits) as browser:
        yield browser


@pytest.fixture(scope="module")
def moody_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the catalog of moods counts its attempts, in the worker and in this process."""
    folder = tmp_path_factory.mktemp("moody")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOODY_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def worker(redis_server: EmbeddedServer, moody_dir: Path) -> Iterator[WorkerProcess]:
    """One for all tests of a module, each of which begins with an empty database."""
    with running_worker(moody_dir, moody_environment(Settings(broker_url=redis_server.url), moody_dir)) as process:
        yield process
