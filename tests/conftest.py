"""Fixtures for all suites: one real server for the session, an empty database for each test."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Set
from uuid import UUID

import hypothesis
import pytest
import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.settings import Settings
from tests.support.naming import shown
from tests.support.rabbitmq import RabbitMQ, running_server

# A shell's background job is started with these ignored. What tests start would inherit it, and never hear of an
# operator's Ctrl-C or of the end that is asked of a worker.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Hundreds of processes import the bridge, and so many compilations take minutes. `make clean` removes what they leave.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long hypothesis' examples take says nothing on a machine that is busy.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """A real server that all tests of a session share."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> Iterator[str]:
    """The address of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    yield redis_server.url


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Default settings on an empty database."""
    return Settings(broker_url=redis_url)


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, to look at what the bridge left behind."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker that all tests of a session share; it takes seconds to start."""
    with running_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="module")
def rabbitmq(rabbitmq_server: RabbitMQ) -> RabbitMQ:
    """That broker, with a virtual host of the module's own."""
    return rabbitmq_server.with_a_new_host()


@pytest.fixture(scope="module")
def amqp_url(rabbitmq: RabbitMQ) -> str:
    """The address of a virtual host of the module's own."""
    return rabbitmq.url


def pytest_make_parametrize_id(val: object) -> str | None:
    """A parameter's name, unless its test gives one: the same in every process."""
    return shown(val) if isinstance(val, UUID | Set | Mapping | list | tuple) else None
