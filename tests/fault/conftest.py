"""How big the fault suite is: bounded by default, as long as one likes with FAULT_SCALE."""

import random
from collections.abc import Iterator

import pytest

from bridge.local.redis_server import EmbeddedServer
from tests.fault.load import SCALE, SEED


@pytest.fixture
def scale() -> float:
    """1 fits into CI; 30 is the full suite."""
    return SCALE


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of a test; repeat a run with FAULT_SEED."""
    print(f"FAULT_SEED={SEED}")
    return random.Random(f"{SEED}:{request.node.name}")


@pytest.fixture
def servers(request: pytest.FixtureRequest, broker: str) -> Iterator[tuple[str, str]]:
    """The addresses of a broker of that kind and of the store, both the test's own: Redis is both in one."""
    with EmbeddedServer() as store:
        if broker == "redis":
            yield store.url, store.url
        else:
            yield request.getfixturevalue("rabbitmq_server").with_a_new_host().url, store.url
