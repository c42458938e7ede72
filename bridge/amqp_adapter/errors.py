"""What an error of kombu, AMQP or Redis means for the broker's user; pure."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from amqp import exceptions as amqp_errors
from kombu.exceptions import KombuError

from bridge.model.bounds import SERVER_WORDS_CHARS_MAX
from bridge.model.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError, ErrorKind
from bridge.redis_adapter import REDIS_TROUBLES, Trouble
from bridge.redis_adapter import diagnose as diagnose_redis

NOT_FOUND = 404
_BY_REPLY: Final[Mapping[int, tuple[str, ErrorKind, str]]] = {
    311: ("CONTENT_TOO_LARGE", ErrorKind.PERMANENT, "The broker takes no message of this size."),
    313: ("NO_CONSUMERS", ErrorKind.TRANSIENT, ""),
    320: ("CONNECTION_FORCED", ErrorKind.WRONG_PEER, ""),
    402: ("INVALID_PATH", ErrorKind.PERMANENT, "BRIDGE_BROKER_URL names a virtual host that is not there."),
    403: (
        "ACCESS_REFUSED",
        ErrorKind.PERMANENT,
        "Give the user in BRIDGE_BROKER_URL its password and its rights: to configure, write and read on its virtual "
        "host (rabbitmqctl set_permissions).",
    ),
    NOT_FOUND: ("NOT_FOUND", ErrorKind.WRONG_PEER, ""),
    405: ("RESOURCE_LOCKED", ErrorKind.TRANSIENT, "Another connection has that queue for itself."),
    406: (
        "PRECONDITION_FAILED",
        ErrorKind.PERMANENT,
        "A queue of that name exists and is another one: the bridge's are durable quorum queues. Empty it, delete it, "
        "and the bridge declares it anew.",
    ),
    504: ("CHANNEL_ERROR", ErrorKind.WRONG_PEER, ""),
    506: ("RESOURCE_ERROR", ErrorKind.TRANSIENT, "The broker has no room left."),
    530: ("NOT_ALLOWED", ErrorKind.PERMANENT, "BRIDGE_BROKER_URL names a virtual host that this user may not open."),
    540: ("NOT_IMPLEMENTED", ErrorKind.PERMANENT, "The bridge needs RabbitMQ 3.13 or later."),
    541: ("INTERNAL_ERROR", ErrorKind.WRONG_PEER, ""),
}
"""By AMQP's reply code. Any other (frame, syntax, command errors) says that this connection is of no use any more."""

_TIMED_OUT = "acknowledgement on channel"
"""A consumer took too long to acknowledge: 406 as well, and over with the channel."""


def diagnose(error: BaseException) -> Trouble | None:
    """What is the matter, from whatever kombu raised; None for what is no trouble of the broker.

    kombu lists KeyError among the connection errors of Redis; here it would hide a bug of ours.
    """
    if isinstance(error, KombuError) and error.__cause__ is not None:
        return diagnose(error.__cause__) or Trouble(ErrorKind.TRANSIENT, type(error).__name__, _words(error), "")
    if isinstance(error, amqp_errors.MessageNacked):
        return Trouble(ErrorKind.TRANSIENT, "NACK", _words(error), "A queue may be full.")
    if isinstance(error, amqp_errors.AMQPError):
        return _of_amqp(error)
    if isinstance(error, REDIS_TROUBLES):
        return diagnose_redis(error)
    if isinstance(error, KombuError):
        return Trouble(ErrorKind.TRANSIENT, type(error).__name__, _words(error), "")
    return None


def broker_error(error: BaseException, said: str, *, undone: bool = False) -> BrokerError | None:
    """What to raise for an error of kombu's, with the sentence ``said``; None for what is no trouble of the broker."""
    trouble = diagnose(error)
    if trouble is None:
        return None
    words = " ".join(part for part in (f"{trouble.code}: {trouble.text}".rstrip(". ") + ".", trouble.advice) if part)
    if trouble.kind is ErrorKind.PERMANENT:
        return BrokerRefusedError(f"{said} The broker refuses for good: {words}", code=trouble.code, undone=undone)
    return BrokerUnavailableError(f"{said} {words}", code=trouble.code, undone=undone)


@contextmanager
def broker_errors(said: str) -> Iterator[None]:
    """Raise trouble of the broker as ``broker_error`` has it, and anything else as it is."""
    try:
        yield
    except Exception as error:
        trouble = broker_error(error, said)
        if trouble is None:
            raise
        raise trouble from error


def _of_amqp(error: amqp_errors.AMQPError) -> Trouble:
    reply = error.reply_code or 0
    text = _words(error)
    code, kind, advice = _BY_REPLY.get(reply, (type(error).__name__, ErrorKind.WRONG_PEER, ""))
    if reply == amqp_errors.PreconditionFailed.code and _TIMED_OUT in text:
        kind, advice = ErrorKind.WRONG_PEER, ""
    return Trouble(kind, code, text, advice)


def _words(error: BaseException) -> str:
    text = str(getattr(error, "reply_text", None) or error)
    return " ".join(text[:SERVER_WORDS_CHARS_MAX].split())
