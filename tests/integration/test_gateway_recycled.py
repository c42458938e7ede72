"""A server that ends its process without a signal: streams end in order, and say when to come back, spread out."""

import asyncio
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.settings import Settings
from tests.support.gateway import EVENTS_PATH, UVICORN, gateway_process
from tests.support.needs import needs_package
from tests.support.streams import SECRET, Stream, token, until
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

STREAMS = 12
REQUESTS = 40
BOUNDED = "bridge.gateway.protocol:BoundedProtocol"
SERVERS = {
    "httptools": [*UVICORN, "--limit-max-requests", str(REQUESTS)],
    "h11": [*UVICORN, "--limit-max-requests", str(REQUESTS), "--http", "h11"],
    "ours": [*UVICORN, "--limit-max-requests", str(REQUESTS), "--http", BOUNDED],
    "gunicorn": [
        sys.executable, "-W", "ignore", "-m", "gunicorn", "bridge.gateway:app", "-k", "uvicorn.workers.UvicornWorker",
        "-b", "127.0.0.1:{port}", "--max-requests", str(REQUESTS), "-w", "1", "--graceful-timeout", "10",
    ],
}  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
async def test_streams_of_a_recycled_process_end_in_order(server: str, redis_url: str, tmp_path: Path) -> None:
    if server == "gunicorn":
        needs_package("gunicorn")
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, SERVERS[server]) as (process, url):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S, limits=limits) as client:
            streams = [await Stream(url, uuid4()).open(client) for _ in range(STREAMS)]
            for _ in range(REQUESTS + 5):
                try:
                    await client.get(url + "/health/live", timeout=5)
                except httpx.TransportError:
                    break
            for stream in streams:
                await until(lambda one=stream: one.ended, 20)
            hints = [stream.frames[-1].field("retry") for stream in streams]
            assert None not in hints and len(set(hints)) > STREAMS // 2
            if server == "gunicorn":
                answer = await _until_answered(client, url)
                assert answer == 401, "another worker has taken its place"
            else:
                wait_until(lambda: process.poll() is not None, what="the process has ended")
    assert not _complaints(tmp_path)


def _complaints(folder: Path) -> list[str]:
    log = next(folder.glob("gateway-*.log")).read_text()
    return [words for words in ("Traceback", "Cancel ", "ERROR") if words in log]


async def _until_answered(client: httpx.AsyncClient, url: str) -> int:
    for _ in range(200):
        try:
            return (await client.get(url + EVENTS_PATH)).status_code
        except httpx.TransportError:
            continue
    raise AssertionError("nobody answers")


async def test_a_lifespan_that_ends_before_the_streams_lets_them_say_when_to_come_back(redis_url: str) -> None:
    app = create_app(Settings(broker_url=redis_url, jwt_secret=SECRET), REGISTRY)
    sent = b""

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal sent
        sent += message.get("body", b"")

    headers = [(b"authorization", f"Bearer {token(uuid4())}".encode())]
    scope = {"type": "http", "method": "GET", "path": EVENTS_PATH, "query_string": b"", "headers": headers}
    async with app.router.lifespan_context(app):
        serving = asyncio.create_task(app(scope, receive, send))
        await until(lambda: b": live" in sent)
    assert serving.done() and sent.splitlines()[-1].startswith(b"retry: ")
