"""The demo's web side: the real gateway, plus one page, its snapshot, and a button that asks for an import."""

import json
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bridge import BridgeError, Registry, Settings, User, load_settings
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import create_app
from bridge.local import serve
from bridge.operations.status import StatusReader
from bridge.settings import is_loopback
from bridge.wiring import open_store
from examples.bank_demo.ledger import Ledger
from examples.bank_demo.plan import DemoPlan
from examples.bank_demo.reading import SIZE_MAX_BYTES

PAGE = Path(__file__).parent / "page"
RECENT = 100
"""Events that a page shows of the time before it was opened."""
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class DemoApp:
    """Sends ``/`` and ``/demo/`` to the demo, and everything else, lifespan included, to the gateway."""

    def __init__(self, gateway: ASGIApp, demo: ASGIApp) -> None:
        self._gateway = gateway
        self._demo = demo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        ours = scope["type"] == "http" and (path == "/" or path.startswith("/demo/"))
        await (self._demo if ours else self._gateway)(scope, receive, send)


def create_demo(settings: Settings, plan: DemoPlan, count_clients: Callable[[], int]) -> Starlette:
    """The page and what it asks for; nothing of the gateway but how many clients it has."""
    endpoints = _Endpoints(settings, plan, REGISTRY, count_clients)
    return Starlette(
        routes=[
            Route("/", endpoints.page),
            Route("/demo/state", endpoints.state),
            Route("/demo/journey", endpoints.journey),
            Route("/demo/import", endpoints.ask, methods=["POST"]),
            Route("/demo/session", endpoints.open_session, methods=["POST"]),
            Mount("/demo/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(_Guard)],
    )


class _Guard:
    """Only this machine, only by its own names (no DNS rebinding), and writes only from the page itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        fault = _fault(request)
        app: ASGIApp = JSONResponse({"error": fault}, status_code=403) if fault else self._app

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
                ]
            await send(message)

        await app(scope, receive, send_with_headers)


def _fault(request: Request) -> str | None:
    host = request.headers.get("host", "")
    if request.client is None or not is_loopback(request.client.host):
        return "The demo answers this machine only."
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        return "Open the demo by 127.0.0.1 or localhost."
    if request.method not in ("GET", "HEAD") and request.headers.get("origin") != f"http://{host}":
        return "Only the demo's own page may ask for that."
    return None


class _Endpoints:
    """Answers the page's requests. Functions that touch the disk or Redis run in a thread."""

    def __init__(
        self, settings: Settings, plan: DemoPlan, registry: Registry, count_clients: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._registry = registry
        self._count_clients = count_clients
        self._store = open_store(settings, briefly=True)
        self._file_name = Path(plan.statement).name
        # Redis may hold the tally of an earlier run; the page shows this one.
        self._published_before = self._stored()["published"] or 0

    async def page(self, _request: Request) -> Response:
        return Response((PAGE / "index.html").read_bytes(), media_type="text/html")

    def state(self, _request: Request) -> Response:
        """What the page needs before it can follow events: a snapshot, as in a real product.

        The position in the stream first: what happens meanwhile comes once more, and is never left out.
        """
        recent = self._recent()
        with closing(Ledger(self._plan.ledger)) as ledger:
            return JSONResponse(
                {
                    "user_id": str(self._plan.user_id),
                    "categories": [category.value for category in self._registry.categories],
                    "types": {meta.event_type.value: meta.category.value for meta in self._registry.events},
                    "accounts": ledger.accounts(),
                    "last_import": None if ledger.importing() else ledger.last_import(),
                    "recent": recent,
                }
            )

    def _recent(self) -> list[dict[str, Any]]:
        """The newest events that are kept, newest first: what a page that is opened later shows."""
        try:
            newest = list(self._store.published.newest(User(self._plan.user_id), RECENT))
        except BridgeError:
            return []
        return [
            {"id": event.event_id, "type": event.event_type, "payload": json.loads(event.payload)} for event in newest
        ]

    def journey(self, _request: Request) -> Response:
        """How many events each station has seen; null where it cannot be told.

        The last station is asked first: what it has, the stations before it had when they were asked.
        """
        answer = {"clients": self._count_clients(), **self._stored()}
        if answer["published"] is not None:
            answer["published"] -= self._published_before
        with closing(Ledger(self._plan.ledger)) as ledger:
            answer["emitted"] = ledger.counts().get("accepted", 0)
        return JSONResponse(answer)

    def _stored(self) -> dict[str, int | None]:
        """What Redis and the broker hold; null from where they stop answering."""
        answer: dict[str, int | None] = {"kept": None, "published": None, "queued": None}
        status = StatusReader(self._store, self._settings, self._registry)
        try:
            kept = self._store.published.newest(User(self._plan.user_id), self._settings.stream_maxlen)
            answer["kept"] = sum(1 for _ in kept)
            found = status.read()
        except BridgeError:
            return answer  # the page shows that Redis is away
        answer["published"] = found.balance.published
        if found.queues:
            # Those in a worker's hands included, where the broker tells.
            answer["queued"] = sum(queue.depth for queue in found.queues) + (found.claimed or 0)
        return answer

    async def ask(self, request: Request) -> Response:
        """Ask the producer to import: the sample, or the file that the request carries."""
        content = await _body(request)
        if content is None:
            return JSONResponse({"error": f"At most {SIZE_MAX_BYTES // 1024 // 1024} MB."}, status_code=413)
        query = request.query_params
        name = re.sub(r"[^\w .()+-]", "_", query.get("name", ""))[:80].strip() or self._file_name
        return await run_in_threadpool(self._ask, name, content, query)

    def _ask(self, name: str, content: bytes, query: Any) -> Response:
        with closing(Ledger(self._plan.ledger)) as ledger:
            if "first" in query:
                job = ledger.ask_for_first_import(self._file_name)
                return JSONResponse({"job": job})
            job = ledger.ask("import", name, content=content or None, fresh="fresh" in query)
        if job is None:
            return JSONResponse({"error": "Too many imports wait already."}, status_code=429)
        return JSONResponse({"job": job}, status_code=202)

    def open_session(self, request: Request) -> Response:
        """The page was opened, which is a session like any other."""
        with closing(Ledger(self._plan.ledger)) as ledger:
            job = ledger.ask("session", describe_device(request.headers.get("user-agent", "")))
        return JSONResponse({"job": job}, status_code=202)


async def _body(request: Request) -> bytes | None:
    """The request's body; None if it is too large."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > SIZE_MAX_BYTES:
            return None
    return bytes(content)


def describe_device(user_agent: str) -> str:
    """A browser and its system, in the words of a sign-in notice."""
    browsers = {"Edg/": "Edge", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "Windows": "Windows", "Mac OS": "macOS", "Linux": "Linux"}
    browser = next((name for mark, name in browsers.items() if mark in user_agent), "A browser")
    system = next((name for mark, name in systems.items() if mark in user_agent), "an unknown system")
    return f"{browser} on {system}"


def main(argument: str) -> int:
    """Serve gateway and demo; the exit code."""
    try:
        settings = load_settings(for_="gateway")
        gateway = create_app(settings, REGISTRY)
        plan = DemoPlan.from_argument(argument)
        demo = create_demo(settings, plan, lambda: len(gateway.state.gateway.sessions))
        serve(DemoApp(gateway, demo), host=settings.gateway_host, port=settings.gateway_port)
    except BridgeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
