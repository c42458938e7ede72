"""Who may enter the operators' page: tokens, roles, sessions that the server need not remember; guesses are slowed."""

import hmac
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bridge.model.bounds import ADDRESS_CHARS_MAX, PARSER_ERRORS, PERSON_CHARS_MAX, SESSION_COOKIE_CHARS_MAX
from bridge.model.plain_text import plain_logger
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


logger = plain_logger(__name__)

FREE_FAILURES = 5
WAIT_CAP_S = 60.0
FORGET_S = 900.0
ADDRESSES_MAX = 1000
"""Addresses that are remembered; the one heard longest ago is forgotten first."""
ALL_FREE_FAILURES = 20
"""Wrong tokens from all addresses together before the brake on all addresses."""
ALL_REFILL_S = 1.0
"""Then one is looked at each time this is over, from however many addresses they come."""
KNOWN_MAX = 100
KNOWN_S = 7 * 86_400.0
"""An address that has shown a right token is spared the brake on everybody for this long."""


@dataclass(slots=True)
class _Record:
    failures: int
    last_s: float


class Throttle:
    """Slows down who guesses: by address, and altogether, as an address may be forged behind a proxy.

    Used on one event loop; not thread-safe.

    Args:
        clock: monotonic, in s.

    Attributes:
        refused: attempts that were not looked at.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._known: OrderedDict[str, float] = OrderedDict()
        self._left = float(ALL_FREE_FAILURES)
        self._filled_s = clock()
        self.refused = 0

    def wait_s(self, address: str) -> float:
        """How long until this address may try again; 0 if it may now."""
        address = address[:ADDRESS_CHARS_MAX]
        wait_s = max(self._own_wait_s(address), 0.0 if self._is_known(address) else self._wait_of_all_s())
        if wait_s:
            self.refused += 1
        return wait_s

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        address = address[:ADDRESS_CHARS_MAX]
        failures = self._records[address].failures + 1 if address in self._records else 1
        self._records[address] = _Record(failures, self._clock())
        self._records.move_to_end(address)
        if len(self._records) > ADDRESSES_MAX:
            self._records.popitem(last=False)
        if failures >= FREE_FAILURES:
            self._known.pop(address, None)
        self._refill()
        self._left = max(0.0, self._left - 1)
        if self._left < 1:
            logger.warning("bridge.ops.tokens_guessed refused=%d wait_s=%.1f", self.refused, self._wait_of_all_s())

    def succeeded(self, address: str) -> None:
        """Forget what an address did wrong, and know it from now on."""
        address = address[:ADDRESS_CHARS_MAX]
        self._records.pop(address, None)
        self._known[address] = self._clock()
        self._known.move_to_end(address)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _own_wait_s(self, address: str) -> float:
        record = self._records.get(address)
        if record is None:
            return 0.0
        age_s = self._clock() - record.last_s
        if age_s > FORGET_S:
            del self._records[address]
            return 0.0
        surplus = record.failures - FREE_FAILURES
        # The exponent is bounded, or a patient guesser would make a number that is no float.
        wait_s = min(WAIT_CAP_S, 2.0 ** min(surplus, 10)) if surplus >= 0 else 0.0
        return max(0.0, wait_s - age_s)

    def _wait_of_all_s(self) -> float:
        self._refill()
        return 0.0 if self._left >= 1 else (1 - self._left) * ALL_REFILL_S

    def _refill(self) -> None:
        now_s = self._clock()
        self._left = min(float(ALL_FREE_FAILURES), self._left + (now_s - self._filled_s) / ALL_REFILL_S)
        self._filled_s = now_s

    def _is_known(self, address: str) -> bool:
        shown_s = self._known.get(address)
        return shown_s is not None and self._clock() - shown_s < KNOWN_S
