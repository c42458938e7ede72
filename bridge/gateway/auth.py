"""Who is asking: by a bearer token, or in development by saying so."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import jwt
from starlette.requests import HTTPConnection

from bridge.gateway.authenticator import TIME_MAX_S, Authenticator, Principal
from bridge.gateway.jwks import IssuerKeys, Key, KeysUnavailableError
from bridge.gateway.refusal import RequestRefusedError, unavailable
from bridge.model.bounds import SESSION_CHARS_MAX, TOKEN_CHARS_MAX
from bridge.model.counting import Counters
from bridge.model.errors import IdError, SettingsError, UnauthorizedError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import IdType
from bridge.model.registry.identifiers import UUIDS
from bridge.settings import GatewaySettings, is_loopback
from bridge.settings.issuers import Issuer

logger = plain_logger(__name__)

KEYS_RETRY_AFTER_S = 10.0

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::\d*)?", re.ASCII)

FindKeys = Callable[[dict[str, Any]], Awaitable[Sequence[Key]]]
"""Token header → the keys to verify with, each with the only algorithm that it may be used with."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """An issuer, and where its keys are; no other issuer's token is verified with them."""

    issuer: Issuer
    find_keys: FindKeys


def authenticator(settings: GatewaySettings, users: IdType = UUIDS, counters: Counters | None = None) -> Authenticator:
    """The way of finding out, of those that come with the bridge, that the settings ask for.

    Raises:
        SettingsError: they ask for none, or the secret cannot be one.
    """
    if settings.gateway_dev:
        return DevelopmentAuthenticator(users)
    if issuers := settings.issuers:
        counters = counters or Counters()
        trusted = [Trusted(one, _keys_of(one, counters)) for one in issuers]
        return TokenAuthenticator(trusted, settings.jwt_cookie, users)
    raise SettingsError(
        "The gateway cannot know who is asking: set BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL for tokens (for several "
        "issuers BRIDGE_JWT_ISSUERS), BRIDGE_GATEWAY_AUTHENTICATOR for an authenticator of your own, or "
        "BRIDGE_GATEWAY_DEV=true to try it on your own machine without tokens."
    )


class TokenAuthenticator:
    """Reads JSON Web Tokens from the Authorization header or the cookie, never from the address.

    A token is verified with the keys of the issuer that it names, and with no others; its subject is read as an id of
    ``users``, whoever issued it.
    """

    def __init__(self, trusted: Sequence[Trusted], cookie: str, users: IdType = UUIDS) -> None:
        self._users = users
        self._cookie = cookie
        self._trusted = {one.issuer.issuer: one for one in trusted}

    async def identify(self, request: HTTPConnection) -> Principal:
        """See ``Authenticator``."""
        token = self._token(request)
        trusted = self._issuer_of(token)
        try:
            keys = await trusted.find_keys(_header(token))
        except KeysUnavailableError as error:
            raise unavailable(f"{error} Try again later.", KEYS_RETRY_AFTER_S) from error
        claims = _verify(token, keys, trusted.issuer)
        _check_times(claims)
        try:
            user = self._users.read(claims["sub"])
        except IdError:
            raise UnauthorizedError(f"The token's subject is no {self._users.noun}, so it names no user.") from None
        return Principal(
            user=user,
            expires_at=float(claims["exp"]),
            session=_session_of(claims),
            # What does not say when it was issued may be of any time.
            issued_at=float(claims.get("iat", 0)),
        )

    def _token(self, request: HTTPConnection) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.cookies.get(self._cookie, "")
        token = token.strip()
        if not token:
            raise UnauthorizedError(
                "A token is needed: send 'Authorization: Bearer <token>', "
                f"or the cookie {self._cookie!r} from a browser."
            )
        if len(token) > TOKEN_CHARS_MAX:
            raise UnauthorizedError(f"The token is longer than {TOKEN_CHARS_MAX} characters.")
        return token

    def _issuer_of(self, token: str) -> Trusted:
        """The only one there is, or the one that the token says it is of: its signature will show."""
        if len(self._trusted) == 1:
            return next(iter(self._trusted.values()))
        try:
            said = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except Exception as error:
            raise _invalid(error) from None
        trusted = self._trusted.get(said) if isinstance(said, str) else None
        if trusted is None:
            raise UnauthorizedError("The token is from another issuer.")
        return trusted


def _verify(token: str, keys: Sequence[Key], issuer: Issuer) -> dict[str, Any]:
    """The claims of a token that one of these keys has signed."""
    for key, algorithm in keys:
        with suppress(jwt.InvalidSignatureError):
            return _verify_with(token, key, algorithm, issuer)
    raise UnauthorizedError("The token is not valid.")


def _verify_with(token: str, key: Any, algorithm: str, issuer: Issuer) -> dict[str, Any]:
    audience = issuer.audience or None
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer.issuer or None,
            # Whether the subject fits is judged by the registry's kind of ids, and a session by us: issuers write
            # numbers, too.
            options={
                "require": ["exp", "sub"],
                "verify_aud": audience is not None,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.InvalidSignatureError:
        raise
    except jwt.ExpiredSignatureError:
        raise UnauthorizedError("The token has expired; get a new one.") from None
    except jwt.ImmatureSignatureError:
        raise UnauthorizedError("The token is not valid yet, by its claim 'nbf' or 'iat'.") from None
    except jwt.MissingRequiredClaimError as error:
        raise UnauthorizedError(f"The token lacks the claim {error.claim!r}.") from None
    except jwt.InvalidAudienceError:
        raise UnauthorizedError("The token is for another audience.") from None
    except jwt.InvalidIssuerError:
        raise UnauthorizedError("The token is from another issuer.") from None
    except Exception as error:
        raise _invalid(error) from None


class DevelopmentAuthenticator:
    """Believes ``?user_id=``, and therefore answers this machine only."""

    def __init__(self, users: IdType = UUIDS) -> None:
        self._users = users

    async def identify(self, request: HTTPConnection) -> Principal:
        """See ``Authenticator``."""
        if not _is_local(request):
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN,
                "The gateway runs in development mode, which answers loopback only: use http://127.0.0.1, "
                "or unset BRIDGE_GATEWAY_DEV and use tokens.",
            )
        values = request.query_params.getlist("user_id")
        try:
            return Principal(user=self._users.parse(values[0] if len(values) == 1 else ""), topics=_every_topic)
        except IdError:
            raise RequestRefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"Say who you are with one ?user_id=<{self._users.kind.__name__.lower()}>; the gateway runs in "
                "development mode.",
            ) from None


async def _every_topic(_topic: object) -> bool:
    return True


def _is_local(request: HTTPConnection) -> bool:
    """Whether client, server and the name that the client used are loopback.

    The name counts because a page from elsewhere can have its own name point here (DNS rebinding).
    """
    server = request.scope.get("server")
    named = request.headers.getlist("Host")
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and server is not None
        and is_loopback(str(server[0]))
        and len(named) == 1
        and is_loopback(_host_name(named[0]))
    )


def _host_name(host: str) -> str:
    """A Host header without its port; empty when it is malformed."""
    parts = _HOST.fullmatch(host)
    return (parts["v6"] or parts["name"]).lower() if parts else ""


def _header(token: str) -> dict[str, Any]:
    try:
        return dict(jwt.get_unverified_header(token))
    except Exception as error:
        raise _invalid(error) from None


def _check_times(claims: dict[str, Any]) -> None:
    """Refuse what is no Unix time in seconds; the reader of tokens takes whatever ``int`` does, and milliseconds."""
    for claim in ("exp", "nbf", "iat"):
        value = claims.get(claim, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= TIME_MAX_S):
            raise UnauthorizedError(f"The token's claim {claim!r} is no time in seconds since 1970.")


def _session_of(claims: dict[str, Any]) -> str:
    """What the issuer calls the session, or else the token; a name that no ``disconnect`` takes is passed over."""
    for claim in ("sid", "jti"):
        value = claims.get(claim)
        # Issuers write their database's numbers, too.
        name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(name, str | None):
            raise UnauthorizedError(f"The token's claim {claim!r} is neither a text nor a whole number.")
        if name and len(name) <= SESSION_CHARS_MAX:
            return name
    return ""


def _invalid(error: Exception) -> UnauthorizedError:
    """What a stranger wrote is no token, whatever reading it raised: a depth or a number that no parser takes, too."""
    if not isinstance(error, (jwt.PyJWTError, ValueError)):
        logger.info("bridge.gateway.token_unreadable error=%s", type(error).__name__)
    return UnauthorizedError("The token is not valid.")


def _keys_of(issuer: Issuer, counters: Counters) -> FindKeys:
    """Where an issuer's keys are found.

    Raises:
        SettingsError: a secret cannot be one.
    """
    if issuer.jwks_url:
        keys = IssuerKeys.at(issuer.jwks_url, counters)

        async def find(header: dict[str, Any]) -> Sequence[Key]:
            return (await keys.find(header),)

        return find
    shared: Sequence[Key] = [(_checked(secret), "HS256") for secret in issuer.secrets]

    async def know(_header: dict[str, Any]) -> Sequence[Key]:
        return shared

    return know


def _checked(secret: str) -> str:
    try:
        jwt.encode({}, secret, "HS256")
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise SettingsError(f"BRIDGE_JWT_SECRET cannot be a shared secret: {error}") from None
    return secret
