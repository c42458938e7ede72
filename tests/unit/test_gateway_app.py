"""Making the application: nothing happens at import, and an operator's mistake is a sentence."""

import asyncio
import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.types import Message

import bridge.gateway
from bridge.catalogs.finance import REGISTRY
from bridge.gateway.connection import ResponseWriter, StalledError, note_connection, stream_headers
from bridge.model.counting import Counters
from bridge.model.errors import MissingExtraError, SettingsError
from bridge.runtime.shutdown import heard_signals
from bridge.settings import Settings
from tests.support.waiting import PROCESS_TIMEOUT_S

ROOT = Path(__file__).parents[2]


def test_importing_reads_no_environment_and_loads_no_web_package() -> None:
    code = (
        "import os, sys; os.environ['BRIDGE_NONSENSE'] = '1'; import bridge.gateway; "
        "assert not {'starlette', 'jwt', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=PROCESS_TIMEOUT_S)


def test_a_wrong_environment_ends_the_process_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_GATEWAY_DEV", "perhaps")
    with pytest.raises(SystemExit, match="BRIDGE_GATEWAY_DEV"):
        _ = bridge.gateway.app


def test_the_app_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = importlib.reload(bridge.gateway)
    monkeypatch.setenv("BRIDGE_GATEWAY_DEV", "true")
    assert fresh.app is fresh.app
    del fresh.__dict__["app"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = bridge.gateway.nonsense


def test_a_missing_extra_is_told_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingExtraError, match=r"sse-bridge\[gateway\]"):
        bridge.gateway.create_app(Settings(gateway_dev=True), REGISTRY)


@pytest.mark.parametrize("origins", ["*", "https://app.example/", "app.example", "https://app.example/path", "null"])
def test_what_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(SettingsError, match="an origin is written"):
        bridge.gateway.create_app(Settings(gateway_dev=True, gateway_cors_origins=origins), REGISTRY)


# Signals


async def test_a_signal_is_heard_before_the_servers_own_handler_which_is_put_back() -> None:
    heard: list[str] = []

    def servers(_number: int, _frame: object) -> None:
        heard.append("server")

    before = signal.signal(signal.SIGTERM, servers)
    try:
        with heard_signals(lambda: heard.append("gateway")):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
        assert sorted(heard) == ["gateway", "server"]
        assert signal.getsignal(signal.SIGTERM) is servers
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_signal_that_nobody_handles_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with heard_signals(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_outside_the_main_thread_nothing_is_hooked() -> None:
    def elsewhere() -> object:
        with heard_signals(lambda: None):
            return signal.getsignal(signal.SIGINT)

    assert await asyncio.to_thread(elsewhere) is signal.getsignal(signal.SIGINT)


# The wire


def test_http2_gets_no_connection_header() -> None:
    assert stream_headers({"http_version": "1.1"})["Connection"] == "close"
    assert "Connection" not in stream_headers({"http_version": "2"})


async def test_a_client_that_takes_nothing_has_stalled_and_is_hung_up_on() -> None:
    aborted: list[bool] = []
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Transport:
        def abort(self) -> None:
            aborted.append(True)
            gone.set_result(None)

    class Cycle:
        transport = Transport()

        async def receive(self) -> Message:
            return {"type": "http.disconnect"}

        async def send(self, _message: object) -> None:
            await asyncio.Event().wait()

    scope: dict[str, object] = {"type": "http"}
    cycle = Cycle()
    note_connection(scope, cycle.receive, cycle.send)
    wire = ResponseWriter(scope, cycle.send, Counters(), send_timeout_s=0.01, heartbeat_s=15)
    with pytest.raises(StalledError):
        await wire.send(b"x")
    await wire.hang_up(gone)
    assert aborted == [True]
