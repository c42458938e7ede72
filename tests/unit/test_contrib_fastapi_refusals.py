"""FastAPI: a refusal that an application's exception handler writes piece by piece, as any other."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from bridge.contrib import fastapi as for_fastapi
from bridge.gateway import RequestRefusedError


class BannedError(Exception):
    """Of the application."""


async def later() -> AsyncIterator[bytes]:
    yield b'{"detail": '
    yield b'"You are banned."}'


def at_once() -> Iterator[bytes]:
    yield b'{"detail": "You are banned."}'


def banned() -> None:
    raise BannedError


@pytest.mark.parametrize("pieces", [later, at_once])
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_refusal_in_pieces_is_the_answer(pieces: Any, spec_version: str) -> None:
    app = FastAPI()

    @app.exception_handler(BannedError)
    async def refuse(request: Request, error: Exception) -> StreamingResponse:
        assert await request.body() == b""
        assert not await request.is_disconnected()
        return StreamingResponse(pieces(), 403)

    with pytest.raises(RequestRefusedError, match="You are banned") as refusal:
        await for_fastapi.DependencyAnswer(app, banned)(asked(spec_version))
    assert refusal.value.status == 403


def asked(spec_version: str) -> Request:
    return Request(
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "method": "GET",
            "path": "/api/v1/events",
            "headers": [],
            "query_string": b"",
        }
    )
