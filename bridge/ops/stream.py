"""``GET /stream``: what changes on a page, as server-sent events; parts of it as HTML, by the id of their element."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from random import uniform

import msgspec
import uuid6
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bridge.errors import StoreError
from bridge.events import comment_frame, event_frame, retry_frame
from bridge.ops import overview, replaying
from bridge.ops.ask import Ask
from bridge.ops.desk import Desk
from bridge.ops.gate import Gate, RefusedError

STREAM_PATH = "/stream"
EVENT_TYPE = "ops.parts"
STREAMS_MAX = 50
STEP_S = 1.0
LIFE_S = 300.0
"""After this time a stream ends and its browser asks again, so that a session that is over ends its streams too."""
RETRY_MS = 1500


class Streams:
    """The open streams, up to STREAMS_MAX; all end when ``end`` is called.

    Attributes:
        open_now: how many there are.
    """

    def __init__(self, gate: Gate, desk: Desk) -> None:
        self._gate = gate
        self._desk = desk
        self.open_now = 0
        self._ending: set[asyncio.Event] = set()

    def end(self) -> None:
        """Have every stream end. Call it on the event loop."""
        for event in self._ending:
            event.set()

    async def endpoint(self, request: Request) -> Response:
        """The stream of the overview, or with ``?replay=`` of one replay."""
        return await self._gate.answer(request, lambda: self._begin(request))

    async def _begin(self, request: Request) -> Response:
        session, _ = self._gate.admit(request)
        if self.open_now >= STREAMS_MAX:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"{STREAMS_MAX} pages are being watched already.")
        ask = self._gate.ask(request, session, request.query_params.__class__())
        return StreamingResponse(self._frames(ask), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _frames(self, ask: Ask) -> AsyncIterator[str]:
        ending = asyncio.Event()
        self.open_now += 1
        self._ending.add(ending)
        try:
            yield retry_frame(RETRY_MS)
            shown: dict[str, str] = {}
            ends_at = asyncio.get_running_loop().time() + LIFE_S * uniform(0.8, 1.0)  # noqa: S311  (no secret)
            while not ending.is_set() and asyncio.get_running_loop().time() < ends_at:
                parts = await run_in_threadpool(self._parts, ask)
                changed = {name: html for name, html in parts.items() if shown.get(name) != html}
                shown = parts
                yield self._frame(changed)
                await _rest(ending)
        finally:
            self.open_now -= 1
            self._ending.discard(ending)

    def _parts(self, ask: Ask) -> dict[str, str]:
        try:
            replay_id = ask.query.get("replay", "")
            if replay_id:
                return {"live-replay": replaying.progress(self._desk, ask, replay_id)}
            return {f"live-{name}": html for name, html in overview.parts(self._desk, ask).items()}
        except StoreError:
            return {}  # the browser keeps what it shows; the page itself says what is the matter

    def _frame(self, changed: dict[str, str]) -> str:
        if not changed:
            return comment_frame("nothing changed")
        return event_frame(uuid6.uuid7(), EVENT_TYPE, msgspec.json.encode(changed).decode())


async def _rest(ending: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(ending.wait(), STEP_S)
    except TimeoutError:
        return
