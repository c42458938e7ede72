"""A gateway within another application, behind its middleware: what the server shows of a connection is still seen."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from bridge.gateway import gateway as gateway_module
from bridge.settings import Settings
from tests.support.slow import ask, many, read_all, read_until, request
from tests.support.streams import EVENTS_PATH, SECRET, Served, until

PREFIX = "/push/v2"
WHOLE = b": live\n"


MIDDLEWARE = {
    "none": [],
    "gzip": [Middleware(GZipMiddleware, minimum_size=1)],
    "gzip twice": [Middleware(GZipMiddleware, minimum_size=1), Middleware(GZipMiddleware, minimum_size=500)],
}


@pytest.fixture(params=MIDDLEWARE)
def served(redis_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(gateway_module, "SWEEP_EVERY_S", 0.2)

    def within(gateway: Starlette) -> Starlette:
        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            async with gateway.router.lifespan_context(gateway):
                yield

        return Starlette(routes=[Mount(PREFIX, gateway)], lifespan=lifespan, middleware=MIDDLEWARE[request.param])

    with Served(Settings(broker_url=redis_url, jwt_secret=SECRET), within=within) as served:
        yield served


@pytest.fixture
def asked() -> bytes:
    return request(uuid4(), path=PREFIX + EVENTS_PATH, Accept="text/event-stream", Accept_Encoding="gzip")


@pytest.mark.parametrize("close", [socket.socket.close, lambda asking: asking.shutdown(socket.SHUT_WR)])
async def test_what_is_sent_behind_a_stream_keeps_none_open(served: Served, asked: bytes, close: object) -> None:
    with many(served.port, [asked + asked] * 10) as asking:
        for one in asking:
            # Who has sent more already may be hung up on as soon as the answer has begun.
            read_until(one, b"HTTP/1.1 200 OK")
            close(one)  # type: ignore[operator]
        await until(lambda: not served.state.sessions)


async def test_a_recycled_server_is_heard(served: Served, asked: bytes) -> None:
    asking = ask(served.port, asked)
    read_until(asking, WHOLE)
    served.recycle()
    assert b"retry: " in read_all(asking)
    asking.close()


async def test_http_1_0_gets_no_chunks(served: Served) -> None:
    asking = ask(served.port, request(UUID(int=7), path=PREFIX + EVENTS_PATH, version="1.0"))
    head, _, body = read_until(asking, WHOLE).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower() and body.startswith(b"retry: ")
    asking.close()
