"""What tests of several modules ask for."""

from collections.abc import Iterator

import pytest
import redis

from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support.ops_page import OPERATOR, VIEWER


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """The bridge's own client; a module may have another."""
    with connect(settings) as client:
        yield client


@pytest.fixture
def ops_settings(redis_url: str) -> Settings:
    """The operators' page is on, for both roles."""
    return Settings(broker_url=redis_url, ops_token=OPERATOR, ops_view_token=VIEWER)
