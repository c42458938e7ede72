"""Rights that are lent and withdrawn: what is recorded, and how processes tell each other; pure."""

import hashlib

import msgspec

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.registry import Id

TICKET_S = 30
"""How long a ticket is good."""
SESSION_DIGEST_CHARS = 32
"""Of a session's digest: 128 bits."""


class Withdrawal(msgspec.Struct, frozen=True):
    """A user or a session was disconnected: what was granted before that moment is worth nothing any more.

    One that does not last ends open streams alone, and is in no record: whoever comes back is judged anew.
    """

    target: str  # as of ``user_target`` or ``session_target``
    at_ms: int  # in ms of Redis time
    lasts: bool = True

    def write(self) -> bytes:
        """As the control channel carries it."""
        return msgspec.json.encode(_Order(self.target, self.at_ms, self.lasts))


class Withdrawals(msgspec.Struct, frozen=True):
    """Everything that is withdrawn at one moment."""

    marks: tuple[Withdrawal, ...]
    now_ms: int  # Redis time of that moment


class _Order(msgspec.Struct, frozen=True, omit_defaults=True):
    disconnect: str
    at_ms: int
    lasts: bool = True  # an older gateway passes it over, and takes the order for one that lasts


def user_target(user: Id) -> str:
    """How a user is called in the record."""
    return f"user:{user}"


class SessionDigest(str):
    """What a ticket knows in place of a session's key: its ``session_target``, which is no key to be digested again."""

    __slots__ = ()


def session_target(session: str) -> str:
    """How a session is called in the record: by a digest, as whoever knows its key could use it."""
    if isinstance(session, SessionDigest):
        return str(session)
    digest = hashlib.sha256(session.encode(errors="surrogatepass")).hexdigest()
    return f"session:{digest[:SESSION_DIGEST_CHARS]}"


def read_order(message: bytes) -> Withdrawal:
    """What the control channel says.

    Raises:
        ValueError: it is no such message.
    """
    try:
        order = msgspec.json.decode(message, type=_Order)
    except PARSER_ERRORS:
        raise ValueError("This is no order to disconnect.") from None
    return Withdrawal(order.disconnect, order.at_ms, order.lasts)
