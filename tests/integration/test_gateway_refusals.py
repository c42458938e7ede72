"""What passes by itself is told to an EventSource as a stream that ends, and to everybody else as 503; a cap holds."""

import asyncio
import dataclasses
from uuid import UUID, uuid4

import httpx
import pytest
from httpx_sse import aconnect_sse
from starlette.applications import Starlette
from starlette.routing import Mount

from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.settings import Settings
from tests.support.slow import ask, read_all, request
from tests.support.streams import EVENTS_PATH, SECRET, Served, Source, Stream, closing, token, until

SSE = {"Accept": "text/event-stream"}


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


async def refused(
    browser: httpx.AsyncClient, url: str, user: UUID, method: str = "GET", **headers: str
) -> httpx.Response:
    return await browser.request(
        method, url + EVENTS_PATH, headers={"Authorization": f"Bearer {token(user)}", **headers}
    )


def _says_when_to_come_again(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    comment, delay, rest = answer.text.split("\n")
    assert comment.startswith(": ") and rest == ""
    assert 1_000 <= int(delay.removeprefix("retry: ")) <= 15_000


async def test_a_full_gateway_sends_browsers_away_and_tells_others(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_clients_max=1)) as served:
        stream = await Stream(served.url, user).open(browser)
        delays = set()
        for _ in range(5):
            answer = await refused(browser, served.url, user, **SSE)
            _says_when_to_come_again(answer)
            delays.add(answer.text)
        assert len(delays) > 1, "they would all come back at one moment"
        for accept in ("*/*", "application/json", ""):
            assert (await refused(browser, served.url, user, Accept=accept)).status_code == 503
        assert (await refused(browser, served.url, user, method="HEAD", **SSE)).status_code == 503
        assert served.state.counters.requests_refused == 9
        assert served.state.counters.streams_opened == 1
        await stream.close()


async def test_a_draining_gateway_sends_browsers_away(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        served.state.draining = True
        _says_when_to_come_again(await refused(browser, served.url, user, **SSE))
        assert (await refused(browser, served.url, user)).status_code == 503
        assert (await browser.get(served.url + "/health/ready")).status_code == 503


async def test_what_does_not_pass_keeps_its_status(settings: Settings, browser: httpx.AsyncClient, user: UUID) -> None:
    with Served(settings) as served:
        assert (await browser.get(served.url + EVENTS_PATH, headers=SSE)).status_code == 401
        answer = await browser.get(
            served.url + EVENTS_PATH + "?category=import", headers={"Authorization": f"Bearer {token(user)}", **SSE}
        )
        assert answer.status_code == 422
        assert "'categories'" in answer.json()["detail"]


async def test_a_user_has_so_many_streams_and_others_theirs(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_streams_per_user=3)) as served:
        streams = [await Stream(served.url, user).open(browser) for _ in range(3)]
        _says_when_to_come_again(await refused(browser, served.url, user, **SSE))
        assert (await refused(browser, served.url, user)).status_code == 503
        assert served.state.counters.users_full == 2
        other = await Stream(served.url, uuid4()).open(browser)
        await streams.pop().close()
        await until(lambda: served.state.subscriptions.listeners(user) == 2)
        streams.append(await Stream(served.url, user).open(browser))
        await closing(*streams, other)


async def test_the_cap_holds_over_many_that_come_and_go(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, gateway_streams_per_user=5)) as served:
        for _ in range(20):
            crowd = [ask(served.port, request(user)) for _ in range(12)]
            await until(lambda: served.state.subscriptions.listeners(user) <= 5)
            for one in crowd:
                one.close()
        await until(lambda: not served.state.sessions)
        assert served.state.subscriptions.listeners(user) == 0
        streams = await asyncio.gather(*(Stream(served.url, user).open(browser) for _ in range(5)))
        await closing(*streams)


async def test_no_parser_shows_an_empty_message_but_at_the_first_frame(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    source = Source(settings)
    headers = {"Authorization": f"Bearer {token(user)}"}
    with Served(dataclasses.replace(settings, gateway_heartbeat_s=0.1)) as served:
        for resumes in (False, True):
            heartbeats = served.state.counters.heartbeats_sent
            shown = []
            said = headers | ({"Last-Event-ID": "1-1"} if resumes else {})
            async with aconnect_sse(browser, "GET", served.url + EVENTS_PATH, headers=said) as events:
                reading = events.aiter_sse()
                if not resumes:
                    first = await anext(reading)
                    assert (first.data, first.event) == ("", "message") and first.id and first.retry
                await until(lambda n=heartbeats: served.state.counters.heartbeats_sent >= n + 3)
                source.publish(user)
                shown.append(await anext(reading))
                if resumes and shown[0].event == "stream.reset":
                    shown.append(await anext(reading))
            assert all(event.data for event in shown)
    source.close()


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_http_1_0_gets_a_stream_that_ends_with_the_connection(settings: Settings, user: UUID, http: str) -> None:
    source = Source(settings)
    with Served(dataclasses.replace(settings, gateway_heartbeat_s=0.1), http=http) as served:
        asking = ask(served.port, request(user, version="1.0"))
        await until(lambda: served.state.counters.heartbeats_sent >= 2)
        ids = source.publish(user, 2)
        await until(lambda: served.state.counters.events_sent == 2)
        served.state.drain()
        got = await asyncio.to_thread(read_all, asking)
        head, _, body = got.partition(b"\r\n\r\n")
        assert (
            head.startswith(b"HTTP/1.1 200 ")
            and b"chunked" not in head.lower()
            and b"content-length" not in head.lower()
        )
        assert b"connection: close" in head.lower()
        # On a busy machine silence is told before the stream has begun.
        lines = [line for line in body.decode().split("\n") if not line.startswith(": heartbeat")]
        lines = lines[next(number for number, line in enumerate(lines) if line) :]
        assert lines[0].startswith("retry: ") and lines[-2].startswith("retry: ")
        assert [line.removeprefix("id: ") for line in lines if line.startswith("id: ")][1:] == ids
        assert not [line for line in lines if "\r" in line]
        asking.close()
    source.close()


async def test_a_mounted_gateway_whose_lifespan_is_not_run_says_so(
    settings: Settings, user: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    app = Starlette(routes=[Mount("/live", create_app(settings, REGISTRY))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for headers in ({}, SSE):
            answer = await refused(client, "/live", user, **headers)
            assert answer.status_code == 503
            assert "lifespan" in answer.json()["detail"]
        ready = await client.get("/live/health/ready")
        assert ready.status_code == 503 and "lifespan" in ready.json()["faults"][0]
        assert (await client.get("/live/health/live")).status_code == 200
    assert "bridge.gateway.not_running" in caplog.text
