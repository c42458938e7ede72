"""``GET /stream``: what changes on a page, as server-sent events; parts of it as HTML, by the id of their element."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from http import HTTPStatus
from random import uniform

import msgspec
import uuid6
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bridge.model.errors import StoreError
from bridge.model.events import comment_frame, retry_frame
from bridge.model.events.sse_event import event_frame
from bridge.model.plain_text import plain_logger
from bridge.ops import overview, redriving
from bridge.ops.access_control import AccessControl, RefusedError
from bridge.ops.page_context import PageContext, PageRequest
from bridge.ops.sessions import Role, Session

logger = plain_logger(__name__)

STREAM_PATH = "/stream"
EVENT_TYPE = "ops.parts"
STREAMS_MAX = 50
VIEWER_STREAMS_MAX = 40
"""Of all viewers together: the others are kept for operators, who are wanted when there is trouble."""
SESSION_STREAMS_MAX = 8
"""Of one session, which is one browser; all scripts of a role count as one."""
STEP_S = 1.0
LIFE_S = 300.0
"""After this time a stream ends and its browser asks again, so that a session that is over ends its streams too."""
RETRY_MS = 1500


class Places:
    """Who has how many streams open. Used on one event loop; not thread-safe.

    Attributes:
        refused: streams that found no place.
    """

    def __init__(self) -> None:
        self._by_holder: Counter[str] = Counter()
        self._by_role: Counter[Role] = Counter()
        self.refused = 0

    def take(self, role: Role, holder: str) -> None:
        """Take a place, to be given back by ``leave``.

        Raises:
            RefusedError: there is none for them.
        """
        fault = self._fault(role, holder)
        if fault:
            self.refused += 1
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, fault)
        self._by_holder[holder] += 1
        self._by_role[role] += 1

    def leave(self, role: Role, holder: str) -> None:
        """Give a place back."""
        self._by_role[role] -= 1
        self._by_holder[holder] -= 1
        if not self._by_holder[holder]:
            del self._by_holder[holder]

    def _fault(self, role: Role, holder: str) -> str:
        if self._by_holder[holder] >= SESSION_STREAMS_MAX:
            return f"You watch {SESSION_STREAMS_MAX} pages already; close one and reload."
        if role is Role.VIEWER and self._by_role[role] >= VIEWER_STREAMS_MAX:
            return f"Viewers watch {VIEWER_STREAMS_MAX} pages already; the others are kept for operators."
        if self._by_role.total() >= STREAMS_MAX:
            return f"{STREAMS_MAX} pages are being watched already."
        return ""


class _Stream(StreamingResponse):
    """A stream that holds its place for as long as it is sent, also when its client is gone before the first frame."""

    def __init__(self, frames: AsyncIterator[str], places: Places, role: Role, holder: str) -> None:
        super().__init__(frames, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._places, self._role, self._holder = places, role, holder
        places.take(role, holder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; see Starlette. A client that takes nothing does not keep its place for longer than others."""
        try:
            async with asyncio.timeout(LIFE_S * 1.1):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            logger.info("bridge.ops.stream_cut role=%s", self._role.value)
        finally:
            self._places.leave(self._role, self._holder)


class Streams:
    """The open streams, as many as have a place; all end when ``end`` is called.

    Attributes:
        open: what ends each that is being sent.
        places: how many each has.
    """

    def __init__(self, access: AccessControl, context: PageContext) -> None:
        self._access = access
        self._context = context
        self.places = Places()
        self.open: set[asyncio.Event] = set()

    def end(self) -> None:
        """Have every stream end. Call it on the event loop."""
        for event in self.open:
            event.set()

    async def endpoint(self, request: Request) -> Response:
        """The stream of the overview, or with ``?redrive=`` of one redrive."""
        return await self._access.answer(request, lambda: self._begin(request))

    async def _begin(self, request: Request) -> Response:
        session, by_bearer = self._access.admit(request)
        page_request = self._access.page_request(request, session, request.query_params.__class__())
        return _Stream(self._frames(page_request), self.places, session.role, _holder(session, by_bearer=by_bearer))

    async def _frames(self, page_request: PageRequest) -> AsyncIterator[str]:
        ending = asyncio.Event()
        self.open.add(ending)
        try:
            yield retry_frame(RETRY_MS)
            shown: dict[str, str] = {}
            ends_at = asyncio.get_running_loop().time() + LIFE_S * uniform(0.8, 1.0)  # noqa: S311  (no secret)
            while not ending.is_set() and asyncio.get_running_loop().time() < ends_at:
                parts = await run_in_threadpool(self._parts, page_request)
                changed = {name: html for name, html in parts.items() if shown.get(name) != html}
                shown = parts
                yield self._frame(changed)
                await _rest(ending)
        finally:
            self.open.discard(ending)

    def _parts(self, page_request: PageRequest) -> dict[str, str]:
        try:
            redrive_id = page_request.query.get("redrive", "")
            if redrive_id:
                return {"live-redrive": redriving.progress(self._context, page_request, redrive_id)}
            return {f"live-{name}": html for name, html in overview.parts(self._context, page_request).items()}
        except StoreError:
            return {}  # the browser keeps what it shows; the page itself says what is the matter

    def _frame(self, changed: dict[str, str]) -> str:
        if not changed:
            return comment_frame("nothing changed")
        return event_frame(uuid6.uuid7(), EVENT_TYPE, msgspec.json.encode(changed).decode())


def _holder(session: Session, *, by_bearer: bool) -> str:
    """Who holds a place: a signed-in session, or a role's scripts, each request of which is a session of its own."""
    return f"script {session.role.value}" if by_bearer else session.nonce


async def _rest(ending: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(ending.wait(), STEP_S)
    except TimeoutError:
        return
