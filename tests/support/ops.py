"""Asking an ASGI application in this process, from a test that is no coroutine."""

import asyncio

import httpx
from starlette.applications import Starlette


class AppClient:
    """GET requests, each on an event loop of its own."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._get(path))

    async def _get(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
            return await client.get(path)
