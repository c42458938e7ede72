"""What tests of several modules ask for: a browser, and the operators' page in it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from bridge.local.redis_server import free_port
from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support.chromium import opened_chromium
from tests.support.ops_tab import OPERATOR, VIEWER, OpsTab, ops_tab
from tests.support.processes import running_cli
from tests.support.worker import WorkerProcess, running_worker


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """No longer than a module: a thread that drives it cannot run coroutines of other tests."""
    with opened_chromium() as opened:
        yield opened


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """The bridge's own client."""
    with connect(settings) as client:
        yield client


@pytest.fixture
def ops_environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Of the processes behind the operators' page."""
    (tmp_path / "moody").mkdir()
    return {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "BRIDGE_OPS_TOKEN": OPERATOR,
        "BRIDGE_OPS_VIEW_TOKEN": VIEWER,
        "MOODY_DIR": str(tmp_path / "moody"),
    }


@pytest.fixture
def worker(ops_environment: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    """One that stops in order at the end."""
    with running_worker(tmp_path, ops_environment) as process:
        yield process


@pytest.fixture
def ops_url(ops_environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of ``sse-bridge ops``, which a Ctrl-C ends in order."""
    port = free_port()
    with running_cli(tmp_path, "ops", "--port", str(port), environment=ops_environment) as process:
        process.wait_for("Application startup complete")
        yield f"http://127.0.0.1:{port}"
        assert process.end(signal.SIGINT) == 130
    assert "Traceback" not in process.output
    assert OPERATOR not in process.output


@pytest.fixture
def page(browser: Any, ops_url: str) -> Iterator[OpsTab]:
    """The operators' page, nobody signed in."""
    with ops_tab(browser, ops_url) as tab:
        yield tab


@pytest.fixture
def plain(browser: Any, ops_url: str) -> Iterator[OpsTab]:
    """The same without JavaScript."""
    with ops_tab(browser, ops_url, java_script_enabled=False) as tab:
        yield tab
