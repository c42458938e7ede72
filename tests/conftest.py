"""Fixtures for all suites: one real server for the session, an empty database for each test."""

import signal
from collections.abc import Iterator

import pytest
import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.settings import Settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job is started so. What tests start would inherit it, and never hear of an operator's Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
