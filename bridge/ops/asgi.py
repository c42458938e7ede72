"""The operators' ASGI application: which routes there are."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bridge.model.registry import Registry
from bridge.ops import dead, overview, redriving
from bridge.ops.access_control import SAFE_HEADERS, AccessControl, Login, Page
from bridge.ops.monitoring import monitoring_routes
from bridge.ops.page_context import PageContext
from bridge.ops.sessions import Role, Sessions, Throttle
from bridge.ops.stream import STREAM_PATH, Streams
from bridge.runtime.shutdown import heard_signals
from bridge.settings import OpsSettings

PAGES = (
    Page("GET", "/", overview.overview),
    Page("GET", "/dead", dead.dead_list),
    Page("GET", "/dead/groups", dead.dead_groups),
    Page("GET", "/dead/groups/{group:path}", dead.dead_group),
    Page("GET", "/dead/letters/{letter_id:path}", dead.letter),
    Page("GET", "/dead/discard", dead.discard_form, Role.OPERATOR),
    Page("POST", "/dead/discard", dead.discard, Role.OPERATOR),
    Page("GET", "/retries", dead.retry_list),
    Page("POST", "/retries/now", dead.try_now, Role.OPERATOR),
    Page("POST", "/retries/cancel", dead.cancel, Role.OPERATOR),
    Page("GET", "/replays", redriving.redrives),
    Page("GET", "/replays/new", redriving.redrive_form, Role.OPERATOR),
    Page("POST", "/replays/dry-run", redriving.dry_run, Role.OPERATOR),
    Page("POST", "/replays", redriving.begin, Role.OPERATOR),
    Page("GET", "/replays/{redrive_id}", redriving.redrive),
    Page("POST", "/replays/{redrive_id}/stop", redriving.stop, Role.OPERATOR),
    Page("POST", "/replays/{redrive_id}/resume", redriving.resume, Role.OPERATOR),
    Page("GET", "/log", overview.operations_log),
    Page("GET", "/trace", overview.trace_event),
)
"""Every page and every action but signing in and out. What acts is a POST and needs the operator's role."""

STATIC = {"ops.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


def build_app(settings: OpsSettings, registry: Registry) -> Starlette:
    """See ``bridge.ops.create_ops_app``."""
    closing = ExitStack()
    app = _build(settings, registry, closing)
    app.router.redirect_slashes = False  # it would go to whatever host the request names
    app.state.closing = closing
    return app


def _build(settings: OpsSettings, registry: Registry, closing: ExitStack) -> Starlette:
    if not (settings.ops_token or settings.ops_view_token):
        return Starlette(routes=monitoring_routes(settings, registry, closing), lifespan=_lifespan(closing))
    context = PageContext.of(settings, registry)
    closing.callback(context.close)
    sessions, throttle = Sessions(settings), Throttle()
    access = AccessControl(settings, context, sessions, throttle)
    streams = Streams(access, context)

    def refusals() -> dict[str, int]:
        """What this process turned away so far, by what it was."""
        return {"tokens": throttle.refused, "streams": streams.places.refused}

    routes: list[BaseRoute] = [
        *monitoring_routes(settings, registry, closing, refusals),
        *Login(access, context, sessions).routes(),
        *(access.route(page) for page in PAGES),
        Route(STREAM_PATH, streams.endpoint, methods=["GET"]),
        Route("/static/{name}", static, methods=["GET"]),
    ]
    app = Starlette(routes=routes, lifespan=_lifespan(closing, streams.end))
    app.state.streams = streams
    return app


def _lifespan(
    closing: ExitStack, end_streams: Callable[[], None] = lambda: None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        """End the pages' streams at the first sign of a shutdown, and drop the connections at the end."""
        with heard_signals(end_streams):
            yield
        await run_in_threadpool(closing.close)

    return lifespan


async def static(request: Request) -> Response:
    """Style, script and picture; the same for every client."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response("There is no such file.", 404, media_type="text/plain", headers=SAFE_HEADERS)
    content = files(__package__).joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={**SAFE_HEADERS, "Cache-Control": "no-cache"})
