"""Who is asking, and what finds it out: ``Principal``, ``Authenticator``, and an application's own, kept in bounds."""

import inspect
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

from bridge.catalogs.loading import load_attribute
from bridge.gateway.asking import Failure, Questions
from bridge.gateway.refusal import RequestRefusedError, refusal_fault, unavailable
from bridge.model.bounds import SESSION_CHARS_MAX
from bridge.model.counting import Counters
from bridge.model.errors import BridgeError, IdError, SettingsError, UnauthorizedError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Id, Registry, TopicAddress

TIME_MAX_S = 253_402_300_799
"""The end of the year 9999; a later Unix time is in milliseconds, or none, and what it is to end would never end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking.

    Attributes:
        user: id of the user whose events are heard; of the registry's kind.
        expires_at: Unix time in seconds at which the right to hear them ends; None if it does not.
        topics: those without a ``Topic.may_hear`` that this client may hear: addresses, or a function of an address,
            sync (run in a thread) or async, that returns True, or False or None. They are asked as that is; so a set
            that the application changes later counts, too.
        session: what they signed in with, as opaque text: a session's key, a token's id. ``disconnect`` ends the
            streams of one; empty: it has no name.
        issued_at: Unix time in seconds at which this right was given, if whoever asks shows the same for long, as a
            token: what was issued before a ``disconnect`` is refused. None: the application is asked each time.
    """

    user: Id
    expires_at: float | None = None
    topics: Collection[TopicAddress] | Callable[[TopicAddress], bool | Awaitable[bool | None] | None] = ()
    session: str = ""
    issued_at: float | None = None


class AuthRequest(Protocol):
    """What an authenticator is given of a request; Starlette's own requests are such."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in any case of letters."""
        ...

    @property
    def query_params(self) -> Mapping[str, str]:
        """Of the address; of a parameter that comes several times, the last."""
        ...

    @property
    def cookies(self) -> Mapping[str, str]:
        """By name."""
        ...

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope, with what the application's middleware put there: a session, a user."""
        ...


class Authenticator(Protocol):
    """Finds out who is asking."""

    async def identify(self, request: Any) -> Principal:
        """Who is asking. Called before each stream and ticket, on the gateway's event loop, and given 10 s.

        Args:
            request: see ``AuthRequest``; no body is read.

        Returns:
            Whose events are told, until when, and which topics may be heard.

        Raises:
            UnauthorizedError: the client is not known; answered with 401.
            RequestRefusedError: it cannot be found out, or must not be answered; answered as it says. Anything else
                that is raised is a fault of the application's, and answered with 503.
        """
        ...


logger = plain_logger(__name__)

SETTING: Final = "BRIDGE_GATEWAY_AUTHENTICATOR"
IDENTIFY_TIMEOUT_S = 10.0
"""How long an application's authenticator may take over one request."""
RETRY_AFTER_S = 10.0
"""When a client is told to come again whose request it failed over."""


def load_authenticator(path: str) -> Authenticator:
    """Import the authenticator that ``path`` (``package.module:attribute``) names, and judge it.

    Raises:
        SettingsError: it cannot be imported, or is none; says which, and what to do.
    """
    found = load_attribute(path, SETTING, SettingsError)
    if found is None:
        raise SettingsError(f"{SETTING} names {path!r}, which is missing there; it must be an authenticator.")
    return judged(found, f"{SETTING} names {path!r}, which")


def judged(found: object, subject: str) -> Authenticator:
    """What was given as an authenticator, if it can be one; ``subject`` is that of the error's sentence.

    Raises:
        SettingsError: it is invalid.
    """
    if isinstance(found, type):
        raise SettingsError(f"{subject} is the class {found.__name__}; make one of it, and give that.")
    try:
        identify = getattr(found, "identify", None)
    except Exception as error:  # a property of the application's
        raise SettingsError(f"{subject} has an identify that cannot be read: {Failure.of(error).why}.") from None
    if identify is None:
        kind = type(found).__name__
        raise SettingsError(f"{subject} has no method `async def identify(self, request)`; its type is {kind}.")
    if not inspect.iscoroutinefunction(identify):
        raise SettingsError(f"{subject} has an identify that is not async; write `async def identify(self, request)`.")
    with suppress(ValueError, TypeError):  # no signature is known of some callables
        signature = inspect.signature(identify)
        try:
            signature.bind(object())
        except TypeError:
            raise SettingsError(
                f"{subject} has an identify that does not take one request; write `async def identify(self, request)`."
            ) from None
    return cast("Authenticator", found)


class OwnAuthenticator:
    """Asks an application's authenticator, whose faults become an answer, a line in the log and a count."""

    def __init__(self, own: Authenticator, registry: Registry, counters: Counters) -> None:
        self._own = own
        self._registry = registry
        self._counters = counters
        self._questions = Questions()

    async def identify(self, request: AuthRequest) -> Principal:
        """See ``Authenticator``."""
        answer = await self._questions.ask(IDENTIFY_TIMEOUT_S, self._own.identify, request)
        if isinstance(answer, Failure):
            if isinstance(answer.error, RequestRefusedError | UnauthorizedError):
                raise self._sendable(answer.error)
            why = str(answer.error) if isinstance(answer.error, SettingsError) else answer.why
            raise self._failed(why)
        try:
            user = user_of(answer, self._registry, "it returned")
            principal = replace(cast("Principal", answer), user=user)
        except Exception as error:  # a Principal may be a subclass of the application's
            why = str(error) if isinstance(error, BridgeError) else f"of what it returned, {Failure.of(error).why}"
            detail = "Who is asking cannot be found out, by a fault of this application; its log says which."
            raise self._failed(why, RequestRefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, detail)) from None
        if principal.expires_at is not None and principal.expires_at <= time.time():
            raise UnauthorizedError("The right to listen has expired; sign in again.")
        return principal

    def _sendable(self, answer: RequestRefusedError | UnauthorizedError) -> BridgeError:
        """A refusal of the application's; or of ours, if HTTP cannot say what stands in it."""
        refusal = answer
        if isinstance(refusal, UnauthorizedError):
            refusal = RequestRefusedError(HTTPStatus.UNAUTHORIZED, str(answer))
        if fault := refusal_fault(refusal):
            return self._failed(f"it raised {type(answer).__name__}, which cannot be sent: {fault}")
        return answer

    def _failed(self, why: str, refusal: RequestRefusedError | None = None) -> RequestRefusedError:
        self._counters.authenticator_failures += 1
        logger.error(
            "bridge.gateway.authenticator_failed authenticator=%s: %s.", type(self._own).__name__, why.rstrip(".")
        )
        return refusal or unavailable("Who is asking cannot be found out now; try again later.", RETRY_AFTER_S)


def user_of(given: object, registry: Registry, said: str) -> Id:
    """The user of a principal that an application gave, all of which must be of the registry's kinds and in bounds.

    Args:
        given: by the application.
        registry: knows users and topics.
        said: subject and verb of the error's sentence, which goes on with what was given.

    Raises:
        IdError: it is none.
    """
    if not isinstance(given, Principal):
        raise IdError(f"{said} a {type(given).__name__}, not a Principal")
    for name in ("expires_at", "issued_at"):
        if not _is_time(getattr(given, name)):
            raise IdError(f"{said} a Principal whose {name} is no Unix time in seconds")
    if not (isinstance(given.session, str) and len(given.session) <= SESSION_CHARS_MAX):
        raise IdError(f"{said} a Principal whose session is no text of at most {SESSION_CHARS_MAX} characters")
    _check_topics(given.topics, registry, said)
    return registry.users.checked(given.user, f"{said} a Principal whose user")


def _check_topics(topics: object, registry: Registry, said: str) -> None:
    if callable(topics):
        return
    if not isinstance(topics, Collection):
        raise IdError(f"{said} a Principal whose topics are neither a list of addresses nor a function")
    for address in topics:
        registry.addresses.checked(address)


def _is_time(value: object) -> bool:
    """Whether it is a Unix time in seconds, or none was given."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (is_number and -TIME_MAX_S <= cast("float", value) <= TIME_MAX_S)
