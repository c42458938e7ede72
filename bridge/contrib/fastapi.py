"""FastAPI: ``add_bridge`` with any dependency of the application's as the way of knowing who is asking."""

import asyncio
import json
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from starlette.applications import Starlette

from bridge.contrib import starlette
from bridge.gateway import RequestRefusedError, UnauthorizedError
from bridge.model.errors import SettingsError
from bridge.model.registry import Registry
from bridge.settings import Settings

__all__ = ["add_bridge"]


def add_bridge(
    app: FastAPI,
    who: Callable[..., Any],
    *,
    settings: Settings | None = None,
    registry: Registry | None = None,
    lifespan_of: Starlette | None = None,
) -> starlette.AppGateway:
    """As ``bridge.contrib.starlette.add_bridge``; ``who`` is a dependency, as it stands in ``Depends(who)``.

    It may ask for whatever FastAPI injects: the request, cookies, headers, a database by another dependency. It is
    done, and what it opened is closed, before the stream begins. What it raises (an ``HTTPException``, or what the
    application has a handler for) refuses the request with its status; an answer that leads elsewhere is a 401.
    What the application asks of each of its routes (``FastAPI(dependencies=…)``) is asked first.
    """
    if not callable(who):
        raise SettingsError(f"add_bridge wants the dependency itself, as it stands in Depends(…), not {who!r}.")
    starlette.check_application(app)
    asking = DependencyAnswer(app, who)
    return starlette.add_bridge(app, asking, settings=settings, registry=registry, lifespan_of=lifespan_of)


class DependencyAnswer:
    """What a dependency returns for a request, as FastAPI itself finds it out: by a route in front of nothing else."""

    def __init__(self, app: FastAPI, who: Callable[..., Any]) -> None:
        self._app = app
        self._stack: Any = None
        self._asking = FastAPI(openapi_url=None)

        async def answer(request: Request, found: Any = Depends(who)) -> Response:  # noqa: B008  (FastAPI's way)
            request.scope["state"][_FOUND].append(found)
            return Response(status_code=HTTPStatus.NO_CONTENT)

        self._asking.add_api_route("/{path:path}", answer, methods=["GET"], dependencies=app.router.dependencies)

    async def __call__(self, request: Request) -> Any:
        """The answer.

        Raises:
            UnauthorizedError: the dependency says 401, or leads to a page for signing in.
            RequestRefusedError: it refuses otherwise.
        """
        found: list[Any] = []
        scope = dict(request.scope)
        scope["state"] = {**scope.get("state", {}), _FOUND: found}
        scope["method"] = "GET"
        refusal = _Refusal()
        await self._routed()(scope, refusal.receive, refusal.hear)
        if found:
            return found[0]
        raise refusal.error()

    def _routed(self) -> Any:
        # Tests replace dependencies, and handlers may be added, after the bridge was.
        self._asking.dependency_overrides = self._app.dependency_overrides
        if self._stack is None:
            self._asking.exception_handlers.update(self._app.exception_handlers)
            self._stack = self._asking.build_middleware_stack()
        return self._stack


_FOUND = "bridge_who"


class _Refusal:
    """An answer that is no user, and the server's side of its request: without a body, and of a client that stays."""

    def __init__(self) -> None:
        self._status = 0
        self._body = b""
        self._asked = False
        self._complete = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._asked:
            await self._complete.wait()  # a disconnect that comes sooner would cut the answer off
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def hear(self, message: MutableMapping[str, Any]) -> None:
        self._status = message.get("status", self._status)
        self._body += message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete.set()

    def error(self) -> RequestRefusedError | UnauthorizedError:
        if self._status < HTTPStatus.BAD_REQUEST:
            return UnauthorizedError(starlette.SIGN_IN)
        if self._status == HTTPStatus.UNAUTHORIZED:
            return UnauthorizedError(self._sentence(starlette.SIGN_IN))
        return RequestRefusedError(HTTPStatus(self._status), self._sentence("This application refuses the request."))

    def _sentence(self, otherwise: str) -> str:
        detail = None
        with suppress(ValueError, AttributeError):
            detail = json.loads(self._body).get("detail")
        return detail if isinstance(detail, str) and detail else otherwise
