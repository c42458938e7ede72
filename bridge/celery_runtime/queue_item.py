"""Reading an item of a Redis queue as kombu's message."""

from binascii import a2b_base64
from typing import Any

import msgspec
from kombu.transport import redis as stock

from bridge.messages.compression import COMPRESSION_HEADER, decompressed
from bridge.messages.passthrough import PASSED_CONTENT_TYPE
from bridge.messages.task_message import BUNDLE_HEADER
from bridge.model.bounds import LEVELS_HEADERS_MAX, MessageBounds, quick_check
from bridge.model.errors import DecodeError

DELIVERIES_HEADER = "bridge_deliveries"
"""Header that tells the consumer how often this message came back; absent when it never did."""
RAW = "raw"
"""Key under which a message that was read carries the bytes that stood on the queue."""


def read_item(
    raw: bytes, *, tag: str, queue: str, deliveries: int, bounds: MessageBounds = MessageBounds.WIDEST
) -> dict[str, Any]:
    """A message in the form in which kombu's virtual transports hand it on, its body as bytes where we know how.

    Args:
        raw: what stood on the queue.
        tag: delivery tag of the claim.
        queue: where it stood, whatever it says itself.
        deliveries: how often it came back from a dead worker.
        bounds: of a message.

    Raises:
        Exception: it is no message; a DecodeError where that can be said better.
    """
    if len(raw) > bounds.item_bytes:
        raise DecodeError(
            f"The message has {len(raw)} bytes; at most {bounds.item_bytes} are read (see BRIDGE_MESSAGE_MAX_BYTES)."
        )
    quick_check(raw, levels_max=LEVELS_HEADERS_MAX, refuse=DecodeError)
    payload = _loads(raw)
    if not isinstance(payload, dict):
        raise DecodeError("What stood on the queue is no message, which would be a JSON object.")
    for name in ("headers", "properties"):
        if not isinstance(payload.get(name), dict):
            raise DecodeError(f"The message has no {name}.")
    headers, properties = payload["headers"], payload["properties"]
    if not isinstance(properties.get("delivery_info", {}), dict):
        raise DecodeError("The message's delivery_info is no object.")
    if payload.get("content-type") == PASSED_CONTENT_TYPE:
        raise DecodeError(f"The content type {PASSED_CONTENT_TYPE} is for use within a worker.")
    _read_body(payload, headers, properties, bounds)
    headers.pop(BUNDLE_HEADER, None)  # only we may say so
    properties["delivery_tag"] = tag
    properties["delivery_info"] = {"exchange": "", "routing_key": queue, "redelivered": bool(deliveries)}
    payload[RAW] = raw
    if deliveries:
        headers[DELIVERIES_HEADER] = deliveries
    return payload


def _read_body(
    payload: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any], bounds: MessageBounds
) -> None:
    """Do what kombu would do as it makes a message of this, but within bounds."""
    compression = headers.pop(COMPRESSION_HEADER, None)
    if properties.get("body_encoding") != "base64":
        if compression:
            raise DecodeError("The body says that it is compressed, and is not in base64.")
        return
    body = decompressed(a2b_base64(payload["body"]), compression, max_bytes=bounds.body_bytes)
    payload["body"], properties["body_encoding"] = body, None


def _loads(raw: bytes) -> Any:
    """A queue item; as kombu reads it, where that makes a difference."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return stock.loads(raw.decode())
