"""One-use tickets, for pages that can send neither cookie nor header: issued to a principal, worth one stream."""

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from bridge.catalogs import load_registry
from bridge.gateway.authenticator import RETRY_AFTER_S, Authenticator, Principal, user_of
from bridge.gateway.refusal import RequestRefusedError, unavailable
from bridge.gateway.withdrawals import WITHDRAWN, Admission
from bridge.model.bounds import PARSER_ERRORS, TICKET_CHARS_MAX, TICKET_TOPICS_MAX, TICKETS_PER_USER_MAX
from bridge.model.errors import BridgeError, OperationRefusedError, StoreError, UnauthorizedError
from bridge.model.registry import Registry, TopicAddress
from bridge.model.withdrawal import TICKET_S, SessionDigest, session_target
from bridge.ports import Tickets
from bridge.redis_adapter import TicketWriter, connect
from bridge.settings import StreamSettings, load_settings

PARAMETER = b"ticket"
HIDDEN = b"ticket=***"
IN_SCOPE = "bridge.tickets"
"""In the scope: the tickets of the address, which has them no more: servers log addresses."""
STREAM_S = 3600.0
"""A stream that a ticket opened ends after this time: what its topics are is not asked again of the application."""
USED_UP = (
    f"This ticket was used, or is older than {TICKET_S} s. A ticket opens one stream: get another one for each "
    "connection, also to reconnect."
)
TOO_MANY = f"More than {TICKETS_PER_USER_MAX} tickets in {TICKET_S} s are refused; try again later."
TOO_MANY_TOPICS = f"A ticket holds {TICKET_TOPICS_MAX} topics at most: name those that its stream is to hear."
BYTES = 32


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    user: str
    expires_at: float | None = None
    topics: tuple[str, ...] = ()
    session: str = ""  # its target: whoever reads this must not learn its key
    issued_at: float | None = None


def hide_tickets(scope: Scope) -> None:
    """Take tickets out of a request's address, before anything logs it; ``tickets_of`` has them."""
    parts = [(part.partition(b"="), part) for part in scope.get("query_string", b"").split(b"&")]
    if found := [value for (name, _, value), _ in parts if _is_ticket(name)]:
        scope[IN_SCOPE] = [unquote_plus(value.decode("latin-1")) for value in found]
        shown = (HIDDEN if _is_ticket(name) else part for (name, _, _), part in parts)
        scope["query_string"] = b"&".join(shown)


def _is_ticket(name: bytes) -> bool:
    return unquote_to_bytes(name) == PARAMETER


def tickets_of(request: HTTPConnection) -> Sequence[str]:
    """The tickets in a request's address."""
    found: Sequence[str] = request.scope.get(IN_SCOPE, ())
    return found


def new_ticket() -> str:
    """A ticket that cannot be guessed."""
    return secrets.token_urlsafe(BYTES)


def digest_of(ticket: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()


def written(principal: Principal, registry: Registry, topics: Sequence[TopicAddress] = ()) -> tuple[str, bytes]:
    """A principal's user and what is kept of it; ``topics`` stand for what a function decides, or a long list has.

    Raises:
        OperationRefusedError: it would hold too many topics.
        IdError: its user is no id of the registry's kind.
    """
    listed = () if callable(principal.topics) else tuple(principal.topics)
    told = topics if callable(principal.topics) or (topics and len(listed) > TICKET_TOPICS_MAX) else listed
    if len(told) > TICKET_TOPICS_MAX:
        raise OperationRefusedError(TOO_MANY_TOPICS)
    user = registry.users.text(principal.user)
    session = session_target(principal.session) if principal.session else ""
    record = _Record(user, principal.expires_at, tuple(map(str, told)), session, principal.issued_at)
    return user, msgspec.json.encode(record)


class TicketAuthenticator:
    """Believes a ticket where there is one, and otherwise asks another authenticator.

    Args:
        otherwise: asked where there is no ticket.
        take: digest → what was kept of the ticket; None if there is none.
        registry: reads users and topics.
    """

    def __init__(
        self, otherwise: Authenticator, take: Callable[[str], Awaitable[bytes | None]], registry: Registry
    ) -> None:
        self.otherwise = otherwise
        self._take = take
        self._registry = registry

    async def identify(self, request: HTTPConnection) -> Principal:
        """See ``Authenticator``."""
        tickets = tickets_of(request)
        if not tickets:
            return await self.otherwise.identify(request)
        if len(tickets) > 1 or not 0 < len(tickets[0]) <= TICKET_CHARS_MAX:
            raise UnauthorizedError(USED_UP)
        try:
            found = await self._take(digest_of(tickets[0]))
        except StoreError as error:
            raise unavailable("The ticket cannot be looked up now; try again later.", RETRY_AFTER_S) from error
        if found is None:
            raise UnauthorizedError(USED_UP)
        return self._principal(found)

    def _principal(self, found: bytes) -> Principal:
        """What was kept, and what follows from when that was."""
        at_ms, _, record = found.partition(b" ")
        try:
            said = msgspec.json.decode(record, type=_Record)
            issued_at = int(at_ms) / 1000
            topics = [self._registry.addresses.parse(text) for text in said.topics]
            user = self._registry.users.parse(said.user)
        except (BridgeError, *PARSER_ERRORS):
            raise UnauthorizedError(USED_UP) from None
        now = time.time()
        if said.expires_at is not None and said.expires_at <= now:
            raise UnauthorizedError("The right to listen has expired; sign in again.")
        return Principal(
            user=user,
            expires_at=min(said.expires_at or now + STREAM_S, now + STREAM_S),
            topics=[topic for topic in topics if isinstance(topic, TopicAddress)],
            session=SessionDigest(said.session),
            issued_at=issued_at if said.issued_at is None else min(issued_at, said.issued_at),
        )


async def issue(
    box: Tickets, admission: Admission, registry: Registry, topics: Sequence[TopicAddress] = ()
) -> dict[str, object]:
    """A new ticket, as the gateway answers it; it counts as issued when the authenticator was asked.

    Raises:
        RequestRefusedError: 422, it would hold too many topics; 429, the user has too many; 503, Redis is away.
    """
    ticket = new_ticket()
    try:
        user, record = written(admission.principal, registry, topics)
    except OperationRefusedError as refusal:
        raise RequestRefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{refusal} POST …?topics= does so.") from None
    try:
        issued = await box.issue(digest_of(ticket), user, record, age_ms=_age_ms(admission), targets=admission.targets)
    except StoreError as error:
        raise unavailable("No ticket can be issued now; try again later.", RETRY_AFTER_S) from error
    if admission.was_before(issued.withdrawn_ms):  # as Redis knows; this process may hear of it in a moment
        raise UnauthorizedError(WITHDRAWN)
    if not issued.kept:
        headers = {"Retry-After": str(TICKET_S)}
        raise RequestRefusedError(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY, headers=headers)
    return {"ticket": ticket, "expires_in_s": TICKET_S}


def _age_ms(admission: Admission) -> int:
    return math.ceil((time.monotonic() - admission.asked_at) * 1000)


def refuse_foreign(request: Request, origins: Sequence[str]) -> None:
    """Refuse a browser's request from a page of another origin, unless that may read the stream anyhow.

    Raises:
        RequestRefusedError: 403.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in origins:
        return
    try:
        is_own = urlsplit(origin).netloc == request.headers.get("Host", "-")
    except ValueError:  # no browser sends such
        is_own = False
    if not is_own:
        raise RequestRefusedError(
            HTTPStatus.FORBIDDEN,
            "Pages of another origin get no ticket here, unless BRIDGE_GATEWAY_CORS_ORIGINS names it: their own server "
            "can issue one.",
        )


def issue_ticket(
    principal: Principal, *, settings: StreamSettings | None = None, registry: Registry | None = None
) -> str:
    """A ticket for a principal that an application of any framework knows; blocks. See docs/wire-format.md.

    Args:
        principal: who is to be heard as; its topics, if any, are a list.
        settings: default: read from the environment.
        registry: default: the one that the settings name.

    Returns:
        What the page appends to the address: ``?ticket=…``, once, within 30 s. Never log it.

    Raises:
        SettingsError: no settings were given and the environment's are wrong.
        RegistryError: no registry was given and the settings' cannot be loaded.
        OperationRefusedError: its topics are a function or too many, its user has too many tickets, or was disconnected
            meanwhile.
        IdError: it is none, or a part of it is not of the registry's kind or out of bounds.
        StoreError: Redis is away or refuses.
    """
    asked_at = time.monotonic()
    settings = settings or load_settings(for_=StreamSettings)
    registry = registry or load_registry(settings.registry)
    user_of(principal, registry, "a ticket was asked for")
    if callable(principal.topics):
        raise OperationRefusedError("A ticket holds a list of topics: give the Principal one in place of a function.")
    user, record = written(principal, registry)
    ticket, admission = new_ticket(), Admission.of(principal, asked_at)
    with connect(settings) as client:
        issued = TicketWriter(client).issue(
            digest_of(ticket), user, record, age_ms=_age_ms(admission), targets=admission.targets
        )
    if admission.was_before(issued.withdrawn_ms):
        raise OperationRefusedError(WITHDRAWN)
    if not issued.kept:
        raise OperationRefusedError(TOO_MANY)
    return ticket


async def issue_ticket_async(
    principal: Principal, *, settings: StreamSettings | None = None, registry: Registry | None = None
) -> str:
    """As ``issue_ticket``, without blocking the event loop."""
    return await asyncio.to_thread(issue_ticket, principal, settings=settings, registry=registry)
