"""Starlette: ``add_bridge`` puts the gateway into an application, with the application's own way of knowing its users.

For FastAPI's dependencies there is ``bridge.contrib.fastapi``.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias
from uuid import UUID

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bridge.catalogs import load_registry
from bridge.gateway import Principal, UnauthorizedError, create_app
from bridge.gateway.asgi import EVENTS_PATH, TICKET_PATH
from bridge.model.errors import IdError, SettingsError
from bridge.model.registry import IdType, Registry
from bridge.producer import configure
from bridge.settings import Settings, load_settings

__all__ = ["Who", "add_bridge"]

Who: TypeAlias = Callable[[Request], Any]
"""A request → who is asking: a user's id, an object that has it as ``id``, a ``Principal``, or None; also async."""
SIGN_IN = "This stream is for signed-in users; sign in first."


def add_bridge(
    app: Starlette,
    who: Who,
    *,
    settings: Settings | None = None,
    registry: Registry | None = None,
    lifespan_of: Starlette | None = None,
) -> "AppGateway":
    """Serve ``GET /api/v1/events`` from an application, to the users that it knows; and let its code ``emit``.

    The gateway and the emitter of this process (``bridge.emit``) begin and end with the application's lifespan, around
    what that does already. Call it before the application is started; with several workers each has its own.

    Args:
        app: whose middleware runs before ``who`` is asked, so that ``request.session`` and ``request.user`` are there.
        who: asked when a stream is opened; one that is not async runs in a thread. None, or a user whose
            ``is_authenticated``, a value or a method, does not say so, is a 401.
        settings: default: read from the environment.
        registry: default: the one that the settings name.
        lifespan_of: the application that the server runs, where ``app`` is mounted in it: Starlette runs the lifespan
            of no mounted application.

    Returns:
        An ASGI application: the gateway of the lifespan that runs, for looking at.

    Raises:
        SettingsError: a setting is wrong, ``who`` cannot be asked, or the application has such a route already.
        RegistryError: the registry cannot be loaded.
    """
    if not callable(who):
        raise SettingsError(f"add_bridge wants a function of the request that says who is asking, not {who!r}.")
    check_application(app)
    if not isinstance(registry, Registry | None):
        raise SettingsError(
            f"add_bridge wants registry= to be a Registry, not {registry!r}; BRIDGE_REGISTRY names one."
        )
    settings = settings or load_settings(for_=("gateway", "producer"))
    registry = registry or load_registry(settings.registry)
    authenticator = AppAuthenticator(app, who, registry.users)
    gateway = AppGateway(lambda: create_app(settings, registry, authenticator=authenticator))
    # Before the others: one of the application's may match every path.
    app.router.routes[:0] = [Route(EVENTS_PATH, gateway), Route(TICKET_PATH, gateway)]
    _extend_lifespan(lifespan_of or app, gateway, settings, registry)
    return gateway


def check_application(app: object) -> None:
    """See whether the gateway can be put into it.

    Raises:
        SettingsError: it is no application, or has a route of its own where the gateway's would be.
    """
    if not isinstance(app, Starlette):
        raise SettingsError(f"add_bridge wants the application itself, not {type(app).__name__}.")
    for path in (EVENTS_PATH, TICKET_PATH):
        if any(getattr(route, "path", "") == path for route in app.router.routes):
            raise SettingsError(f"This application has a route {path} already, from itself or by an add_bridge before.")


class AppGateway:
    """The gateway of an application; another for each lifespan, as tests start one application again and again."""

    def __init__(self, make: Callable[[], Starlette]) -> None:
        self._make = make
        self.current = make()  # so that what is wrong is known now; it says so where no lifespan is ever run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self.current(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For one lifespan."""
        self.current = self._make()
        async with self.current.router.lifespan_context(self.current):
            yield


class AppAuthenticator:
    """Asks a function of the application's."""

    def __init__(self, app: Starlette, who: Who, users: IdType) -> None:
        self._app = app
        self._who = who
        self._users = users

    async def identify(self, request: Request) -> Principal:
        """See ``Authenticator``."""
        # The gateway is an application, too; but ``request.app`` is to be the one that was written.
        own = Request({**request.scope, "app": self._app})
        found = await _answer(self._who, own)
        if found is None or not await _is_signed_in(found):
            raise UnauthorizedError(SIGN_IN)
        return principal_of(found, self._users)


async def _answer(who: Who, request: Request) -> Any:
    is_async = inspect.iscoroutinefunction(who) or inspect.iscoroutinefunction(type(who).__call__)
    found: Awaitable[Any] | Any = who(request) if is_async else await run_in_threadpool(who, request)
    return await found if inspect.isawaitable(found) else found


async def _is_signed_in(found: Any) -> bool:
    """Whether a user says so of itself; who says nothing is one. Some frameworks' users have a method for it."""
    said: Any = getattr(found, "is_authenticated", True)
    if callable(said):
        with suppress(ValueError):  # no signature is known of some callables
            try:
                inspect.signature(said).bind()
            except TypeError:
                named = f"{type(found).__name__}.is_authenticated"
                raise SettingsError(f"{named} wants arguments; return None for who is not signed in") from None
        said = said()
    return bool(await said if inspect.isawaitable(said) else said)


def principal_of(found: Any, users: IdType) -> Principal:
    """The principal that an answer stands for; an id of another kind is left for the gateway to refuse."""
    if isinstance(found, Principal):
        return found
    user = found if isinstance(found, UUID | int | str) else getattr(found, "id", found)
    with suppress(IdError):
        user = users.read(user)
    return Principal(user=user)


def _extend_lifespan(app: Starlette, gateway: AppGateway, settings: Settings, registry: Registry) -> None:
    own = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncIterator[Any]:
        async with gateway.running():
            emitter = configure(settings, registry)
            try:
                async with own(running) as state:
                    yield state
            finally:
                # In a thread: streams end meanwhile.
                await asyncio.to_thread(emitter.close)

    app.router.lifespan_context = lifespan
