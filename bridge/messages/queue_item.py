"""What stands on a queue in kombu's format, read for who runs it, for who only looks, and for operators; pure."""

import json
from base64 import b64decode
from binascii import a2b_base64
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec

from bridge.messages.bundling import PASSED_CONTENT_TYPE
from bridge.messages.task_message import BUNDLE_HEADER, COMPRESSION_HEADER, decompressed
from bridge.messages.validation import in_utf8
from bridge.model.bounds import LEVELS_HEADERS_MAX, PARSER_ERRORS, VALUES_MAX, MessageBounds, quick_check
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
    # Nearly every item has few brackets and few bytes, and then there is nothing to judge.
    if len(raw) >= VALUES_MAX or raw.count(b"{") + raw.count(b"[") > LEVELS_HEADERS_MAX:
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
    """A queue item; as Python's own parser reads it, and kombu with it, where that makes a difference."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return json.loads(raw.decode())


# Looking


class _Headers(msgspec.Struct):
    id: str | None = None
    task: Any = None
    bridge_booked: str | None = None
    bridge_attempt: Any = None
    compression: Any = None


class Peeked(msgspec.Struct):
    """What a look at a message tells, which decodes no more than it needs."""

    headers: _Headers = msgspec.field(default_factory=_Headers)  # some of them
    body: str = ""  # base64 of what Celery calls so, as it was sent

    @property
    def message_id(self) -> str:
        """The Celery task id; empty if there is none."""
        return self.headers.id or ""

    @property
    def book_id(self) -> str:
        """The message under which its events are in the accounting; empty if it does not say."""
        return self.headers.bridge_booked or self.headers.id or ""

    @property
    def task(self) -> str:
        """The Celery task; empty if there is none."""
        return str(self.headers.task or "")

    @property
    def is_again(self) -> bool:
        """Whether the message brings a retry: its events were attempted before."""
        return bool(self.headers.bridge_attempt)


class _Item(Peeked):
    headers: _Headers


_peeks = msgspec.json.Decoder(_Item)
_claims = msgspec.json.Decoder(tuple[_Item, str, str])


def peek(raw: bytes) -> Peeked | None:
    """A message that stands on a queue; None if it is not one."""
    try:
        return _peeks.decode(raw)
    except PARSER_ERRORS:
        return None


def peek_claim(entry: bytes) -> Peeked | None:
    """A message as kombu notes it when a worker claims it; None if it is not one."""
    try:
        return _claims.decode(entry)[0]
    except PARSER_ERRORS:
        return None


# Reading again what was kept


class _Properties(msgspec.Struct, frozen=True):
    body_encoding: Literal["base64"] | None = None


class _Kept(msgspec.Struct, frozen=True, rename="kebab"):
    headers: dict[str, Any]
    properties: _Properties
    body: str
    content_type: Literal["application/json"]
    content_encoding: str | None = None


_kept = msgspec.json.Decoder(_Kept)


def read_kept(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Headers and body of an item that Celery can run: the body as Celery parses it, in UTF-8, not compressed.

    Raises:
        Exception: DecodeError or one of PARSER_ERRORS: it is no such item.
    """
    item = _kept.decode(raw)
    # Who writes to Redis by hand may leave base64 out, as kombu does where it is told to.
    in_base64 = item.properties.body_encoding == "base64"
    body = b64decode(item.body) if in_base64 else item.body.encode()
    body = decompressed(body, item.headers.get(COMPRESSION_HEADER))
    return item.headers, in_utf8(body, item.content_encoding) if in_base64 else body


def body_of(raw: bytes) -> bytes:
    """The body of whatever it is; as it was sent, if it is not what its headers say; empty if there is none."""
    try:
        item = msgspec.json.decode(raw)
        body = b64decode(item["body"])
    except (KeyError, TypeError, *PARSER_ERRORS):
        return b""
    headers = item.get("headers")
    try:
        return decompressed(body, headers.get(COMPRESSION_HEADER) if isinstance(headers, dict) else None)
    except DecodeError:
        return body


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue at one moment."""

    name: str  # ``bridge.<category>``
    depth: int  # messages that wait to be taken, also on the lists of priorities (Redis)
    # Since the one that is taken next was accepted; None if nothing waits, or the accounting does not know. On RabbitMQ
    # it is that of the oldest of up to 1,000 messages on their way, claimed or not.
    oldest_age_s: float | None
    registered: bool = True  # whether it is a queue of the registry
    task: str = ""  # Celery task of the message that is taken next; empty if unknown


class _Identified(msgspec.Struct):
    id: UUID


_bodies = msgspec.json.Decoder(tuple[tuple[list[_Identified]], Any, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessage:
    """A message that stands on a queue or is claimed by a worker."""

    message_id: str  # the Celery task id
    book_id: str  # the message under which its events are in the accounting
    claimed: bool  # whether a worker has it
    body: str  # base64 of the Celery body, as it was sent
    compression: object = None  # as its header says; anything may stand there

    @property
    def is_part(self) -> bool:
        """Whether it holds only part of the message that is in the accounting, which was taken apart."""
        return self.message_id != self.book_id

    def event_ids(self) -> frozenset[UUID]:
        """The ids of its events; none if the body cannot be read."""
        try:
            body = decompressed(b64decode(self.body), self.compression)
            return frozenset(event.id for event in _bodies.decode(body)[0][0])
        except (DecodeError, *PARSER_ERRORS):
            return frozenset()


def age_s(since_ms: int | None, now_ms: int) -> float | None:
    """Seconds since then, 0 or more; None if it is unknown."""
    return None if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
