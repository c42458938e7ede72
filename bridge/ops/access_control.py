"""The only way to every page and action: session or bearer token, role, origin, form token, and safe headers.

1. Who asks: the session's cookie, or ``Authorization: Bearer`` for scripts; wrong tokens are slowed down.
2. An act (POST) must come from our own page: the browser says so (``Sec-Fetch-Site``, ``Origin``), and the form
   carries the session's own token. A script with a bearer token needs none: no browser adds that header by itself.
3. An act needs the operator's role.
4. Whatever is answered carries headers that keep scripts, frames, referrers and caches out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bridge.model.bounds import FORM_BYTES_MAX
from bridge.model.errors import (
    BridgeError,
    BrokerError,
    OperationRefusedError,
    SettingsError,
    StoreError,
)
from bridge.ops.page_context import PageContext, PageRequest
from bridge.ops.sessions import LIFE_S, Role, Session, Sessions, Throttle
from bridge.settings import OpsSettings

COOKIE = "bridge_ops"
FORM_TOKEN_FIELD = "form_token"  # noqa: S105  (a field's name)
LOGIN_PATH = "/login"
SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATUS_OF: dict[type[BridgeError], HTTPStatus] = {
    SettingsError: HTTPStatus.BAD_REQUEST,
    OperationRefusedError: HTTPStatus.CONFLICT,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    BrokerError: HTTPStatus.SERVICE_UNAVAILABLE,
}


Handler = Callable[[PageContext, PageRequest], Response]
"""Makes a page, or acts and says where to go on. Runs on a thread: Redis may let it wait."""


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table of pages."""

    method: str  # GET shows, POST acts
    path: str  # below the application
    handler: Handler  # makes the answer
    role: Role = Role.VIEWER  # the least role that may


class RefusedError(Exception):
    """The request is not let in; the message says why."""

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class AccessControl:
    """Lets requests in, and makes their answers safe."""

    def __init__(self, settings: OpsSettings, context: PageContext, sessions: Sessions, throttle: Throttle) -> None:
        self._payloads = settings.ops_payloads
        self._context = context
        self._sessions = sessions
        self._throttle = throttle

    def route(self, page: Page) -> Route:
        """A page that is served only to those who may see it."""

        async def endpoint(request: Request) -> Response:
            """Answer, behind the same checks and with the same headers as every page."""
            return await self.answer(request, lambda: self._serve(request, page))

        return Route(page.path, endpoint, methods=[page.method])

    async def answer(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """An answer of ours with safe headers, also when it is a refusal."""
        try:
            response = await make()
        except RefusedError as refusal:
            response = self._context.refusal(base_of(request), refusal.status, str(refusal))
            response.headers.update(refusal.headers)
        response.headers.update(SAFE_HEADERS)
        return response

    # Who asks

    def admit(self, request: Request) -> tuple[Session, bool]:
        """Who asks, and whether a bearer token says so.

        Raises:
            RefusedError: the client is not known, or an address that must wait.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._sessions.begin(self.check_token(request, token.strip()), "script"), True
        session = self._sessions.from_cookie(request.cookies.get(COOKIE, ""))
        if session is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "You are not signed in, or your session is over.")
        return session, False

    def check_token(self, request: Request, token: str) -> Role:
        """Whose token it is.

        Raises:
            RefusedError: the token is wrong, or this address guessed too often; then even a right one must wait.
        """
        address = request.client.host if request.client else ""
        wait_s = self._throttle.wait_s(address)
        if wait_s:
            seconds = int(wait_s) + 1
            message = f"Too many wrong tokens were tried. Try again in {seconds} s."
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, message, {"Retry-After": str(seconds)})
        role = self._sessions.role_of(token)
        if role is None:
            self._throttle.failed(address)
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "That token is not right.")
        self._throttle.succeeded(address)
        return role

    async def _serve(self, request: Request, page: Page) -> Response:
        try:
            session, by_bearer = self.admit(request)
        except RefusedError as refusal:
            if refusal.status is HTTPStatus.UNAUTHORIZED and page.method == "GET" and wants_html(request):
                there = request.url.path.removeprefix(base_of(request)) + (
                    f"?{request.url.query}" * bool(request.url.query)
                )
                return RedirectResponse(
                    f"{base_of(request)}{LOGIN_PATH}?{urlencode({'next': there})}", HTTPStatus.SEE_OTHER
                )
            raise
        form = QueryParams()
        if page.method != "GET":
            form = await self.read_own_form(request, session, by_bearer=by_bearer)
        if page.role is Role.OPERATOR and session.role is not Role.OPERATOR:
            raise RefusedError(HTTPStatus.FORBIDDEN, "You may look, but not act: that needs the operators' token.")
        return await run_in_threadpool(self._handle, page, self.page_request(request, session, form))

    async def read_own_form(self, request: Request, session: Session, *, by_bearer: bool = False) -> QueryParams:
        """The fields of a form that came from our own page, in this session.

        Raises:
            RefusedError: it came from elsewhere, is none of this session, or cannot be read.
        """
        require_own_origin(request)
        form = await read_form(request)
        if not by_bearer and not self._sessions.is_form_token(session, form.get(FORM_TOKEN_FIELD, "")):
            raise RefusedError(HTTPStatus.FORBIDDEN, "This form is not of your session: open its page again.")
        return form

    def page_request(self, request: Request, session: Session, form: QueryParams) -> PageRequest:
        """The request as pages know it."""
        return PageRequest(
            session=session,
            base=base_of(request),
            form_token=self._sessions.form_token(session),
            path=dict(request.path_params),
            query=request.query_params,
            form=form,
            payloads=self._payloads and session.role is Role.OPERATOR,
        )

    def _handle(self, page: Page, page_request: PageRequest) -> Response:
        try:
            return page.handler(self._context, page_request)
        except BridgeError as error:
            status = next((code for kind, code in _STATUS_OF.items() if isinstance(error, kind)), None)
            if status is None:
                raise
            message, title = str(error), status.phrase
            return self._context.page(page_request, "refused.html", status=status, title=title, message=message)


class Login:
    """The form for the token, and the way out."""

    def __init__(self, access: AccessControl, context: PageContext, sessions: Sessions) -> None:
        self._access = access
        self._context = context
        self._sessions = sessions

    def routes(self) -> list[Route]:
        """The routes, to be mounted by an application."""
        return [
            Route(LOGIN_PATH, self._show, methods=["GET"]),
            Route(LOGIN_PATH, self._enter, methods=["POST"]),
            Route("/logout", self._leave, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        there = safe_path(request.query_params.get("next", ""))
        return await self._access.answer(request, lambda: self._form(request, there, "", HTTPStatus.OK))

    async def _enter(self, request: Request) -> Response:
        return await self._access.answer(request, lambda: self._try(request))

    async def _try(self, request: Request) -> Response:
        require_own_origin(request)
        form = await read_form(request)
        there = safe_path(form.get("next", ""))
        try:
            role = self._access.check_token(request, form.get("token", "").strip())
        except RefusedError as refusal:
            response = await self._form(request, there, str(refusal), refusal.status)
            response.headers.update(refusal.headers)
            return response
        session = self._sessions.begin(role, form.get("name", ""))
        response = RedirectResponse(base_of(request) + there, HTTPStatus.SEE_OTHER)
        response.set_cookie(
            COOKIE,
            self._sessions.to_cookie(session),
            max_age=LIFE_S,
            path=base_of(request) or "/",
            secure=is_https(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def _form(self, request: Request, there: str, message: str, status: HTTPStatus) -> Response:
        return self._context.login(base_of(request), there, message, status)

    async def _leave(self, request: Request) -> Response:
        async def leave() -> Response:
            """Take the cookie away and lead to the sign-in page."""
            session, _ = self._access.admit(request)
            await self._access.read_own_form(request, session)
            response = RedirectResponse(base_of(request) + LOGIN_PATH, HTTPStatus.SEE_OTHER)
            response.delete_cookie(COOKIE, path=base_of(request) or "/", httponly=True, samesite="strict")
            return response

        return await self._access.answer(request, leave)


def base_of(request: Request) -> str:
    """What stands before every path of ours."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def is_https(request: Request) -> bool:
    """Whether the browser came by HTTPS. Whoever forges the header binds a cookie of their own more strictly."""
    first = request.headers.get("X-Forwarded-Proto", "").partition(",")[0]  # each proxy of a chain adds its own
    return "https" in (request.url.scheme, first.strip().lower())


def wants_html(request: Request) -> bool:
    """Whether a person is to read the answer."""
    return "text/html" in request.headers.get("Accept", "")


def safe_path(given: str) -> str:
    """A path of ours to go on to after signing in; the overview if it leads anywhere else."""
    ours = given.startswith("/") and given[1:2] not in ("/", "\\") and given.isprintable()
    return given if ours and not given.startswith((LOGIN_PATH, "/logout")) else "/"


def require_own_origin(request: Request) -> None:
    """Let an act pass only if the browser says that it comes from our own page.

    A script that sends neither header is let pass if it brings a bearer token: only browsers have other pages.

    Raises:
        RefusedError: it comes from elsewhere, or that cannot be told.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_ours = origin is not None and origin != "null" and _place_of(origin) == request.headers.get("Host", "")
    if site is not None:
        # As we send no referrer, browsers may hide the origin of our own forms ("null").
        allowed = site == "same-origin" and (is_ours or origin in (None, "null"))
    elif origin is not None:
        allowed = is_ours
    else:
        allowed = request.headers.get("Authorization", "").lower().startswith("bearer ")
    if not allowed:
        raise RefusedError(
            HTTPStatus.FORBIDDEN,
            "This did not come from the operators' own page, or your browser does not say so. Beyond this machine "
            "the page must be reached over HTTPS, and a proxy must pass the Host header on.",
        )


def _place_of(origin: str) -> str | None:
    """Host and port of an origin; None if it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def read_form(request: Request) -> QueryParams:
    """The fields of a form.

    Raises:
        RefusedError: it is larger than FORM_BYTES_MAX, or no form.
    """
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the fields as application/x-www-form-urlencoded.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is more than any of our forms can hold.")
    return QueryParams(body.decode("utf-8", "replace"))
