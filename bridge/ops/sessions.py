"""Who may enter the operators' page: tokens, roles, and signed sessions that the server need not remember."""

import hmac
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from enum import StrEnum

import msgspec

from bridge.model.bounds import PARSER_ERRORS, PERSON_CHARS_MAX, SESSION_COOKIE_CHARS_MAX
from bridge.settings import OpsSettings

LIFE_S = 12 * 3600
_PURPOSE_SESSION = b"bridge.ops session 1"
_PURPOSE_FORM = b"bridge.ops form 1\0"


class Role(StrEnum):
    """What a signed-in operator may do."""

    VIEWER = "viewer"
    """Look."""
    OPERATOR = "operator"
    """Look and act."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has shown a token."""

    role: Role  # what they may do
    name: str  # what they call themselves; not verified
    nonce: str  # tells this session from every other
    ends_s: float  # Unix time

    @property
    def who(self) -> str:
        """For the log of operations."""
        return f"{self.name or self.role.value} (page)"


class Sessions:
    """Makes sessions and knows them again. A session ends with its time, or when its token is changed.

    Args:
        clock: Unix time.
    """

    def __init__(self, settings: OpsSettings, *, clock: Callable[[], float] = time.time) -> None:
        tokens = {Role.OPERATOR: settings.ops_token, Role.VIEWER: settings.ops_view_token}
        self._tokens = {role: token.encode() for role, token in tokens.items() if token}
        # Of its own token: with the viewers' one cannot sign for an operator.
        self._keys = {role: _sign(token, _PURPOSE_SESSION) for role, token in self._tokens.items()}
        self._clock = clock

    def role_of(self, token: str) -> Role | None:
        """Whose token it is; None if it is unknown. Takes as long for a near miss as for a far one."""
        given = token.encode("utf-8", "replace")
        found = [role for role, known in self._tokens.items() if hmac.compare_digest(given, known)]
        return found[0] if found else None

    def begin(self, role: Role, name: str = "") -> Session:
        """A new session."""
        printable = "".join(letter for letter in name if letter.isprintable()).strip()
        return Session(
            role=role,
            name=printable[:PERSON_CHARS_MAX],
            nonce=secrets.token_urlsafe(16),
            ends_s=self._clock() + LIFE_S,
        )

    def to_cookie(self, session: Session) -> str:
        """What a browser keeps: the session and its signature."""
        body = msgspec.json.encode(session)
        return f"{_text(body)}.{_text(_sign(self._keys[session.role], body))}"

    def from_cookie(self, cookie: str) -> Session | None:
        """The session; None if it was not made here, was changed, or is over."""
        body, _, signature = cookie[:SESSION_COOKIE_CHARS_MAX].partition(".")
        try:
            raw, signed = _bytes(body), _bytes(signature)
            session = msgspec.json.decode(raw, type=Session)
        except PARSER_ERRORS:
            return None
        key = self._keys.get(session.role)
        if key is None or not hmac.compare_digest(_sign(key, raw), signed):
            return None
        return session if self._clock() < session.ends_s else None

    def form_token(self, session: Session) -> str:
        """What every form of a session carries, and no other site can know."""
        return _text(_sign(self._keys[session.role], _PURPOSE_FORM + session.nonce.encode()))

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(session).encode(), given.encode("utf-8", "replace"))


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).decode()


def _bytes(text: str) -> bytes:
    # Strictly: a session has one cookie, and not as many as a lenient reader would take.
    return b64decode(text, altchars=b"-_", validate=True)
