"""Messages whose bodies are decompressed within bounds: kombu does it first of all, and knows none."""

import sys
from functools import partial
from typing import Any

from kombu import compression
from kombu import message as stock

from bridge.messages.compression import COMPRESSION_HEADER, decompressed
from bridge.messages.passthrough import PASSED_CONTENT_TYPE
from bridge.messages.validation import check_bytes, check_size, in_utf8
from bridge.model.bounds import BODY_BYTES_MIN, MessageBounds


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
