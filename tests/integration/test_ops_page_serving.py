"""The operators' page over HTTP: the live stream, without Redis, without a token, mounted, and as a command."""

import asyncio
import dataclasses
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import redis
from starlette.applications import Starlette
from starlette.routing import Mount

from bridge.gateway import create_app
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.ops import create_ops_app
from bridge.settings import Settings
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_page import (
    OPERATOR,
    ORIGIN,
    SECRET,
    VIEWER,
    browser,
)
from tests.support.processes import assert_sentence, run_cli, running_cli
from tests.support.waiting import PATIENCE, WAIT_S, wait_until

# Live


async def test_the_stream_sends_parts_in_our_own_frames_and_ends_with_the_process(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter()])
    async with browser(ops_settings, VIEWER) as viewer:
        transport = viewer._transport
        assert isinstance(transport, httpx.ASGITransport)
        streams = transport.app.state.streams  # type: ignore[attr-defined]
        asking = asyncio.create_task(viewer.get("/stream"))  # the transport answers when the stream has ended
        deadline = time.monotonic() + 10 * PATIENCE
        while not streams.open:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        streams.end()
        answer = await asyncio.wait_for(asking, WAIT_S)
        assert not streams.open
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    frame = next(frame for frame in answer.text.split("\n\n") if "event: ops.parts" in frame)
    parts = msgspec.json.decode(frame.partition("data: ")[2], type=dict[str, str])
    assert "no such mood" in parts["live-groups"]
    assert set(parts) >= {"live-health", "live-figures", "live-queues"}


async def test_without_redis_pages_say_so(ops_settings: Settings) -> None:
    away = dataclasses.replace(ops_settings, broker_url="redis://127.0.0.1:1/0")
    async with browser(away, OPERATOR) as operator:
        answer = await operator.get("/")
        assert (answer.status_code, "Redis does not answer" in answer.text) == (200, True)
        answer = await operator.get("/dead")
        assert (answer.status_code, "Redis did not take the command" in answer.text) == (503, True)


# Where it lives


async def test_without_a_token_there_is_no_page(settings: Settings) -> None:
    async with browser(settings) as client:
        for path in ("/", "/login", "/dead", "/stream", "/static/ops.css"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/metrics")).status_code == 200


async def test_metrics_and_health_need_no_token_and_show_no_contents(
    ops_settings: Settings, client: redis.Redis
) -> None:
    bury(client, ops_settings, [a_letter(mode=SECRET)])
    async with browser(ops_settings) as stranger:
        for path in ("/metrics", "/health/ready", "/health/live"):
            answer = await stranger.get(path)
            assert answer.status_code in (200, 503)
            assert SECRET not in answer.text


async def test_it_can_be_mounted_beside_the_gateway(ops_settings: Settings, client: redis.Redis) -> None:
    letter = a_letter()
    bury(client, ops_settings, [letter])
    settings = dataclasses.replace(ops_settings, gateway_dev=True)
    gateway, page = create_app(settings, registry), create_ops_app(settings, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with gateway.router.lifespan_context(gateway), page.router.lifespan_context(page):
            yield

    app = Starlette(routes=[Mount("/ops", page), Mount("/", gateway)], lifespan=lifespan)
    headers = {"Origin": ORIGIN, "Accept": "text/html"}
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as browser:
            assert (await browser.get("/health/live")).status_code == 200
            first = await browser.get("/ops/dead")
            assert first.headers["Location"] == "/ops/login?next=%2Fdead"
            signed = await browser.post("/ops/login", data={"token": OPERATOR, "next": "/dead"})
            assert signed.headers["Location"] == "/ops/dead"
            assert "Path=/ops" in signed.headers["Set-Cookie"]
            text = (await browser.get("/ops/dead")).text
            assert f"/ops/dead/letters/{letter.letter_id}" in text
            assert not re.search(r'(?:href|src|action)="/(?!ops)', text)


# The command


def test_the_command_wants_a_token_and_says_how_to_make_one(redis_url: str) -> None:
    answer = run_cli("ops", environment={"BRIDGE_BROKER_URL": redis_url})
    assert_sentence(answer, "needs a token", "BRIDGE_OPS_TOKEN=$(openssl rand -hex 32)", code=2)


def test_the_command_listens_on_loopback_and_ends_at_once_while_somebody_watches(
    redis_server: EmbeddedServer, tmp_path
) -> None:
    port = free_port()
    environment = {"BRIDGE_BROKER_URL": redis_server.url, "BRIDGE_OPS_TOKEN": OPERATOR, "BRIDGE_OPS_PORT": str(port)}
    with running_cli(tmp_path, "ops", environment=environment) as command:
        command.wait_for(f"http://127.0.0.1:{port}/")
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            wait_until(lambda: answers(client), what="the page answers")
            with client.stream("GET", "/stream") as stream:
                lines = stream.iter_lines()
                assert next(lines).startswith("retry:")
                assert command.end(timeout_s=4) == 130
    assert "Traceback" not in command.output
    assert OPERATOR not in command.output
    taken = run_cli("ops", "--host", "no-such-host.invalid", environment=environment)
    assert_sentence(taken, "BRIDGE_OPS_HOST or --host", code=1)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False
