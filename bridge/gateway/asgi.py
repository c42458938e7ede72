"""The ASGI application: its routes, the origins that may read, its metrics, and how a request gets its stream."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bridge.gateway.auth import authenticator as shipped_authenticator
from bridge.gateway.authenticator import Authenticator, OwnAuthenticator, judged, load_authenticator
from bridge.gateway.connection import connection_of, note_connection, stream_headers
from bridge.gateway.gateway import Gateway
from bridge.gateway.refusal import RequestRefusedError, passes, passing, problem
from bridge.gateway.request import StreamRequest, UnknownTopicError, parse_request
from bridge.gateway.tickets import TicketAuthenticator, hide_tickets, issue, refuse_foreign, tickets_of
from bridge.gateway.withdrawals import Admission
from bridge.model.counting import COUNTERS_STATE, TEXTS
from bridge.model.errors import SettingsError, UnauthorizedError
from bridge.model.registry import Registry
from bridge.runtime.shutdown import heard_signals
from bridge.settings import GatewaySettings

if TYPE_CHECKING:
    from prometheus_client.core import Metric


EVENTS_PATH = "/api/v1/events"
TICKET_PATH = EVENTS_PATH + "/ticket"
LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"
METRICS_PATH = "/metrics"
PREFIX = "bridge_gateway_process_"
"""Of metrics of this process; ``bridge.ops`` tells the sum over all."""

CHALLENGE = 'Bearer realm="bridge"'
CHALLENGE_INVALID = 'Bearer realm="bridge", error="invalid_token"'


def build_app(settings: GatewaySettings, registry: Registry, authenticator: Authenticator | None = None) -> Starlette:
    """See ``bridge.gateway.create_app``. ``app.state.gateway`` is the Gateway, for looking at."""
    gateway = Gateway(settings, registry)
    if authenticator is not None:
        own = judged(authenticator, "authenticator=")
    elif settings.gateway_authenticator:
        own = load_authenticator(settings.gateway_authenticator)
    else:
        own = None
    asked = (
        shipped_authenticator(settings, registry.users, gateway.counters)
        if own is None  # an authenticator may be falsy, as an empty table of sessions is
        else OwnAuthenticator(own, registry, gateway.counters)
    )
    origins = _origins(settings)
    endpoints = Endpoints(gateway, TicketAuthenticator(asked, gateway.take_ticket, registry), registry, origins)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, object]]:
        """Run the gateway, and send its clients away at the first sign of a shutdown."""
        async with gateway.running():
            with heard_signals(gateway.drain):
                yield {COUNTERS_STATE: gateway.counters}

    app = _Application(
        routes=[
            Route(EVENTS_PATH, endpoints.events, methods=["GET"]),
            Route(TICKET_PATH, endpoints.ticket, methods=["POST"]),
            Route(LIVE_PATH, endpoints.live, methods=["GET"]),
            Route(READY_PATH, endpoints.ready, methods=["GET"]),
            *_metrics_routes(gateway),
        ],
        middleware=_cors(origins),
        exception_handlers={
            RequestRefusedError: endpoints.refuse,
            UnauthorizedError: endpoints.challenge,
            HTTPException: endpoints.refuse_http,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # it would go to whatever host the request names
    app.state.gateway = gateway
    return app


class _Application(Starlette):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Here ``send`` is still the server's own, unless we are mounted; our own middleware wraps it.
            note_connection(scope, receive, send)
            hide_tickets(scope)
        await super().__call__(scope, receive, send)


class Endpoints:
    """The endpoints, and what they answer when they refuse."""

    def __init__(
        self, gateway: Gateway, authenticator: TicketAuthenticator, registry: Registry, origins: Sequence[str]
    ) -> None:
        self._origins = origins
        self._gateway = gateway
        self._authenticator = authenticator
        self._registry = registry

    async def events(self, request: Request) -> Response:
        """The stream. Whatever can be refused is refused here, before its first byte."""
        try:
            return await self._admit(request)
        except RequestRefusedError as refusal:
            if request.method == "HEAD" or not passes(refusal, request.headers.get("Accept", "")):
                raise
            self._gateway.counters.requests_refused += 1
            return passing(refusal, stream_headers(request.scope))

    async def _admit(self, request: Request) -> Response:
        connection = connection_of(request.scope)
        if connection.has_left:
            # In a flood, most have when their turn comes; a stream for each would keep the others waiting.
            self._gateway.counters.connections_lost += 1
            connection.end()
            return Response()
        if refusal := self._gateway.closed():
            raise refusal  # before the application is asked, which may not be started either
        asked_at = time.monotonic()
        principal = await self._authenticator.identify(request)
        admission = Admission.of(principal, asked_at)
        wanted = self._wanted(request)
        if refusal := self._gateway.refusal(admission):
            raise refusal
        if wanted.topics:
            await self._gateway.topic_rights.permit(principal, wanted.topics)
            if refusal := self._gateway.refusal(admission):  # others came meanwhile
                raise refusal
        # No await from here until the stream counts, or more would be admitted than there may be.
        if request.method == "HEAD":
            return Response(headers=stream_headers(request.scope))
        return cast("Response", partial(self._gateway.serve, admission, wanted))

    async def ticket(self, request: Request) -> Response:
        """A ticket for whoever asks by a session or a token, and the topics that the query names."""
        refuse_foreign(request, self._origins)
        if tickets_of(request):
            raise RequestRefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "A ticket opens a stream, and gets no other one."
            )
        asked_at = time.monotonic()
        principal = await self._authenticator.otherwise.identify(request)
        admission = Admission.of(principal, asked_at)
        wanted = self._wanted(request)
        if refusal := self._gateway.refusal(admission):
            raise refusal
        if wanted.topics:
            await self._gateway.topic_rights.permit(principal, wanted.topics)
        document = await issue(self._gateway.tickets, admission, self._registry, wanted.topics)
        if refusal := self._gateway.refusal(admission):  # its user was disconnected meanwhile
            raise refusal
        self._gateway.counters.tickets_issued += 1
        return JSONResponse(document, HTTPStatus.CREATED, {"Cache-Control": "no-store"})

    def _wanted(self, request: Request) -> StreamRequest:
        try:
            return parse_request(request.query_params, request.headers, self._registry)
        except UnknownTopicError:
            self._gateway.counters.topics_unknown += 1
            raise

    async def live(self, _request: Request) -> Response:
        """The process runs."""
        return JSONResponse({"status": "live"})

    async def ready(self, _request: Request) -> Response:
        """Clients are served: Redis answers and the hub hears it."""
        gateway = self._gateway
        redis_answers = not await gateway.redis_fault()
        faults = gateway.faults
        ready = redis_answers and gateway.subscribed and not gateway.draining and not faults
        document: dict[str, object] = {
            "status": "ready" if ready else "not_ready",
            "redis": redis_answers,
            "subscribed": gateway.subscribed,
            "draining": gateway.draining,
            "clients": len(gateway.sessions),
        }
        if faults:
            document["faults"] = faults
        return JSONResponse(document, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def refuse(self, _request: Request, error: Exception) -> Response:
        """Answer a refusal."""
        self._gateway.counters.requests_refused += 1
        return problem(cast("RequestRefusedError", error))

    async def challenge(self, request: Request, error: Exception) -> Response:
        """Answer a missing or bad token."""
        # RFC 6750: a request without any token gets no error code.
        sent = "Authorization" in request.headers or bool(request.cookies)
        headers = {"WWW-Authenticate": CHALLENGE_INVALID if sent else CHALLENGE}
        return await self.refuse(request, RequestRefusedError(HTTPStatus.UNAUTHORIZED, str(error), headers=headers))

    async def refuse_http(self, request: Request, error: Exception) -> Response:
        """Answer what the router refuses: no such path, no such method."""
        http = cast("HTTPException", error)
        status = HTTPStatus(http.status_code)
        detail = f"There is only GET {EVENTS_PATH}, {LIVE_PATH} and {READY_PATH}, and POST {TICKET_PATH}."
        return await self.refuse(request, RequestRefusedError(status, detail, headers=http.headers))


def _origins(settings: GatewaySettings) -> list[str]:
    origins = [origin.strip() for origin in settings.gateway_cors_origins.split(",") if origin.strip()]
    if faults := [fault for origin in origins if (fault := origin_fault(origin))]:
        raise SettingsError("BRIDGE_GATEWAY_CORS_ORIGINS: " + " ".join(faults))
    return origins


def _cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Cache-Control", "Last-Event-ID"],
        )
    ]


SHOWN_MAX = 100
"""Characters that are repeated of what is refused."""
DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = "an origin is written https://host or https://host:port, without a path"


def origin_fault(origin: str) -> str:
    """Why no browser ever sends this as its origin, as a sentence; empty if one may.

    A browser compares with what it sends: scheme and host in small letters, the port only where it is not the usual
    one, nothing else. What is near to that would be taken without a word, and its pages locked out.
    """
    why = _why(origin)
    shown = origin.rpartition("@")[2]  # what stands before it may be a password
    return f"{shown[:SHOWN_MAX]!r} {why}; {_FORM}." if why else ""


def _why(origin: str) -> str:
    match origin:
        case "*":
            return "is refused because cookies are sent"
        case "null":
            return "is what any sandboxed page and any file sends"
        case _ if not origin.isascii():
            return "must be written in ASCII, as browsers send it (xn--…)"
        case _ if "@" in origin:
            return "is preceded by a user, which browsers leave out"
        case _ if "*" in origin:
            return "is a pattern, and each origin must be named"
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in DEFAULT_PORTS or not host:
        return "is no origin"
    if port == DEFAULT_PORTS[parts.scheme]:
        return f"names port {port}, which browsers leave out for {parts.scheme}"
    return _otherwise_sent(origin, parts.scheme, host, port)


def _otherwise_sent(origin: str, scheme: str, host: str, port: int | None) -> str:
    try:
        sent_host = _sent_host(host)
    except ValueError:
        return "is no address"
    as_sent = f"{scheme}://{sent_host}" + (f":{port}" if port is not None else "")
    return "" if origin == as_sent else f"is not what a browser sends, which is {as_sent}"


def _sent_host(host: str) -> str:
    """A host as browsers write it, from one in small letters.

    Raises:
        ValueError: it is invalid.
    """
    if ":" in host:
        return f"[{ip_address(host)}]"
    if host.rpartition(".")[2].isdigit():
        return str(ip_address(host))
    if not all(character.isalnum() or character in "-._" for character in host):
        raise ValueError(host)
    return host


def _metrics_routes(gateway: Gateway) -> list[Route]:
    """The route of ``/metrics``; none without prometheus-client."""
    if not find_spec("prometheus_client"):
        return []
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector, CollectorRegistry

    class _Collector(Collector):
        def collect(self) -> "Iterator[Metric]":
            """What the process counts now; asked at each scrape."""
            return _families(gateway)

    collectors = CollectorRegistry()
    collectors.register(_Collector())

    async def metrics(request: Request) -> Response:
        """Answer a scrape, in the format that it asks for, or Prometheus' own."""
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # the header names no version
            encode, content_type = choose_encoder("")
        return Response(encode(collectors), headers={"Content-Type": content_type})

    return [Route(METRICS_PATH, metrics, methods=["GET"])]


def _families(gateway: Gateway) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily(f"{PREFIX}connections", "Streams open in this process.", value=len(gateway.sessions))
    hearing = GaugeMetricFamily(f"{PREFIX}topic_streams", "Streams open that hear such topics.", labels=("topic",))
    for topic, streams in gateway.rechecks.streams_by_topic().items():
        hearing.add_metric((topic,), streams)
    yield hearing
    running = GaugeMetricFamily(f"{PREFIX}task_running", "1 unless the task failed and waits.", labels=("task",))
    restarts = CounterMetricFamily(f"{PREFIX}task_restarts", "Times that the task was run again.", labels=("task",))
    for task in gateway.tasks:
        running.add_metric((task.name,), float(task.state.running and not task.done()))
        restarts.add_metric((task.name,), task.state.restarts)
    yield from (running, restarts)
    for name, value in gateway.counters.as_dict().items():
        yield CounterMetricFamily(PREFIX + name, TEXTS[name], value=value)
