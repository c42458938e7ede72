"""kombu's messages as the bridge needs them: decompressed within bounds, passed on unparsed, kept when put aside."""

import base64
import sys
from collections.abc import Collection
from functools import partial
from typing import Any

import msgspec
from kombu import compression
from kombu import message as stock
from kombu.serialization import register

from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.messages import BOOKED_HEADER
from bridge.messages.bundling import PASSED_CONTENT_ENCODING, PASSED_CONTENT_TYPE, Envelopes, on_the_wire
from bridge.messages.queue_item import RAW
from bridge.messages.task_message import COMPRESSION_HEADER, decompressed
from bridge.messages.validation import COUNTED_BY_BROKER, check_bytes, check_size, in_utf8, is_id
from bridge.model.bounds import BODY_BYTES_MIN, ID_CHARS_MAX, MessageBounds
from bridge.model.pipeline import encode_raw, identify
from bridge.model.plain_text import one_line
from bridge.worker.quarantine import Quarantine


class BoundedBody(stock.Message):
    """A message that comes before kombu's own base in the order of bases, and leaves it no compressed body."""

    bounds = MessageBounds.WIDEST
    # The body as it was sent, and its compression, which may be none; None if ``body`` is that
    sent: tuple[bytes, object] | None = None

    def __init__(self, body: Any = None, *, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
        headers = dict(headers or {})
        told = headers.pop(COMPRESSION_HEADER, None)
        sent = body
        try:
            if told:
                body = decompressed(body, told, max_bytes=self.bounds.body_bytes)
            check_size(body, body_bytes_max=self.bounds.body_bytes)
            if isinstance(body, bytes):
                body = in_utf8(body, kwargs.get("content_encoding"))
        except Exception:  # a TypeError too: anything may stand there
            self.errors = [sys.exc_info()]
        if told or body is not sent:
            self.sent = (sent, told)
        super().__init__(body, headers=headers, **kwargs)


def bounded(message_class: type[stock.Message], bounds: MessageBounds) -> type[stock.Message]:
    """A transport's class of messages, bounded."""
    return type(f"Bounded{message_class.__name__}", (message_class, BoundedBody), {"bounds": bounds})


def bound_kombu() -> None:
    """Have kombu itself decompress within bounds in this process: what it reads besides tasks, as remote control."""
    for content_type in compression.encoders():
        encode, _ = compression.get_encoder(content_type)
        decode = partial(decompressed, compression=content_type, max_bytes=BODY_BYTES_MIN)
        compression.register(encode, decode, content_type)


def check_body(message: Any, bounds: MessageBounds) -> None:
    """Refuse a body that Celery's parser should not be given; what is passed on it never sees.

    Raises:
        DecodeError: it is too large or too deep, or no JSON.
    """
    if message.content_type != PASSED_CONTENT_TYPE:
        check_size(message.body, body_bytes_max=bounds.body_bytes)
        check_bytes(message.body, message.content_type)


PASSED_SERIALIZER = "bridge-envelopes"
"""Celery's name of that content type."""


def _encode(body: Any) -> bytes:
    raise NotImplementedError("Envelopes are passed on within a worker only; no message is written in this way.")


def _decode(body: bytes) -> tuple[list[Envelopes], dict[str, Any], dict[str, Any]]:
    return [Envelopes(body)], {}, {}


register(
    PASSED_SERIALIZER, _encode, _decode, content_type=PASSED_CONTENT_TYPE, content_encoding=PASSED_CONTENT_ENCODING
)


def quarantine_message(quarantine: Quarantine, message: Any, error: Exception, bounds: MessageBounds) -> None:
    """Keep a whole message with all that stood on the queue.

    Raises:
        StoreError: Redis stays away; the message must not be acknowledged.
    """
    message_id = _id(message, "id")
    # Where no producer announced it, a worker may have entered it under its own id.
    booked_as = _id(message, BOOKED_HEADER) or message_id
    info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    quarantine(
        raw_bytes(message),
        one_line(info.get("routing_key"), chars_max=ID_CHARS_MAX),
        error,
        task=one_line(_header(message, "task"), chars_max=ID_CHARS_MAX),
        booked_as=booked_as,
        part=None if booked_as == message_id else _event_ids(message, bounds),
        claimed_on=claimed_on(message),
    )


def claimed_on(message: Any) -> str:
    """Name of the server that it was claimed of; empty where that is unknown, or RabbitMQ."""
    channel = message.channel
    return channel.server.name if isinstance(channel, ClaimingChannel) else ""


def _header(message: Any, name: str) -> str:
    value = message.headers.get(name) if isinstance(message.headers, dict) else None
    return value if isinstance(value, str) else ""


def _id(message: Any, name: str) -> str:
    """A header that says which message it is; empty if it cannot be one, as the accounting has none of that name."""
    value = _header(message, name)
    return value if is_id(value) else ""


def _event_ids(message: Any, bounds: MessageBounds) -> list[str]:
    """The events in a part of a message that was taken apart; none if it cannot be read."""
    try:
        check_body(message, bounds)
        args = message.payload[0]
        return [str(identify(raw)) for raw in (args[0].split() if isinstance(args[0], Envelopes) else args[0])]
    except Exception:  # whatever is wrong with the message is being recorded already
        return []


def raw_bytes(message: Any) -> bytes:
    """What stood on the queue; for a broker that does not say, its parts as JSON, the body in base64."""
    payload = getattr(message, "_raw", None)
    if isinstance(payload, dict) and RAW in payload:
        return bytes(payload[RAW])
    body, content_type, content_encoding = on_the_wire(message)
    headers = _members(message.headers, but=COUNTED_BY_BROKER)
    sent = getattr(message, "sent", None)
    if sent is not None:
        body, compression = sent
        headers = {**headers, COMPRESSION_HEADER: compression} if compression else headers
    if not isinstance(body, bytes):
        body = _encoded(str(body), content_encoding)
    parts = {
        "body": base64.b64encode(body).decode(),
        "content-type": content_type,
        "content-encoding": content_encoding,
        "headers": headers,
        # AMQP has the headers there once more. How the body is written here is said as on a Redis queue.
        "properties": {**_members(message.properties, but=("application_headers",)), "body_encoding": "base64"},
    }
    try:
        # RabbitMQ does not keep the order of headers either.
        return msgspec.json.encode(parts, enc_hook=repr, order="deterministic")
    except Exception:  # a header's name or value is no text, or too deep
        return encode_raw(parts)


def _encoded(text: str, encoding: object) -> bytes:
    """The bytes of a body that py-amqp has decoded by its content encoding."""
    try:
        return text.encode(str(encoding))
    except (LookupError, UnicodeError):
        return text.encode("utf-8", "replace")


def _members(names_to_values: Any, *, but: Collection[str]) -> dict[str, Any]:
    """The members of a table without some; none if it is no table."""
    if not isinstance(names_to_values, dict):
        return {}
    return {name: value for name, value in names_to_values.items() if name not in but}
