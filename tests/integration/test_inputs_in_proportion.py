"""Every input takes hostile text in time that is proportionate to its size: ten times the text, ten times the time."""

import bz2
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from kombu.transport import pyamqp
from starlette.datastructures import QueryParams

from bridge import DomainEvent
from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime.bounded_message import bounded, check_body
from bridge.celery_runtime.quarantined_message import raw_bytes
from bridge.gateway.request import parse_request
from bridge.messages.bundling import Claimed, bundle
from bridge.messages.compression import decompressed
from bridge.messages.passthrough import pass_on
from bridge.messages.queue_item import read_item
from bridge.messages.validation import check_message
from bridge.model.bounds import MessageBounds
from bridge.model.dead_letter import read_letter, read_tombstone, user_in
from bridge.model.errors import BridgeError
from bridge.model.event_log import read_message
from bridge.model.pipeline import Failure, Stage, describe, encode_raw, identify
from bridge.model.pipeline.envelope import EventCodec
from bridge.model.pipeline.root_cause import cause_of
from bridge.model.plain_text import one_line
from bridge.operations.letters import mask_envelope
from bridge.operations.selection import Selection, parse_time
from bridge.ops.fields import read_after, read_number
from bridge.producer.row_validation import RowValidator
from bridge.redis_adapter.event_log import _entry
from bridge.redis_adapter.retry_queue import read_retry
from tests.support.growth import HOSTILE, assert_in_proportion, hostile

SIZE = 1_000
TAIL = b'],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
SPOOLED = b"bridge.FileImportFailed"
BOUNDS = MessageBounds.of(message_max_bytes=2**26, emit_batch_max=100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed(DomainEvent):
    """Its list is looked at more closely when it is written."""

    lines: tuple[str, ...] = ()


CODEC = EventCodec(Listed)


def _item(**parts: Any) -> bytes:
    message = {
        "body": b64encode(b"[[[]],{},{}]").decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "bridge.Listed", "id": "1"},
        "properties": {"body_encoding": "base64", "delivery_tag": "1"},
        **parts,
    }
    return json.dumps(message).encode()


def _through_the_queue(raw: bytes) -> None:
    """As a worker's main process takes an item: read, bundled, judged."""
    payload = read_item(raw, tag="t", queue="q", deliveries=0, bounds=BOUNDS)
    for one in bundle([Claimed("t", "q", payload)], tasks={"bridge.Listed"}, mixed=True):
        _judge(SimpleNamespace(**{name.replace("-", "_"): value for name, value in one.payload().items()}))


def _judge(message: Any) -> None:
    pass_on(message)
    check_body(message, BOUNDS)
    check_message(message.headers, lambda: json.loads(message.body), {"bridge.Listed"})


def _through_rabbitmq(body: bytes, headers: dict[str, Any]) -> None:
    properties = {"content_type": "application/json", "content_encoding": "utf-8", "application_headers": headers}
    told = SimpleNamespace(body=body, properties=properties, delivery_tag=1, delivery_info={})
    message = bounded(pyamqp.Message, BOUNDS)(told)
    raw_bytes(message)
    if not message.errors:
        _judge(message)


def _envelope(text: str) -> bytes:
    data = {"lines": [text], "user_id": text}
    return json.dumps(
        {"specversion": "1.0", "id": str(uuid4()), "source": text, "type": "Listed", "data": data}
    ).encode()


def _decode(text: str) -> None:
    CODEC.decode(_envelope(text))


def _emit(text: str) -> None:
    CODEC.write(Listed(lines=(text, text)))


def _describe(text: str) -> Failure:
    try:
        raise ValueError(text)
    except ValueError as error:
        return describe(error, Stage.EXTRACT, with_traceback=True)


def _stream(text: str) -> None:
    for payload in (text, json.dumps({"a": text}), "[\n" + text):
        _entry((b"1-1", ["event_id", str(uuid4()), "event_type", text[:50], "data", payload]))


INPUTS: dict[str, Callable[[str], object]] = {
    "a queue's item": lambda text: _through_the_queue(text.encode()),
    "an item's body": lambda text: _through_the_queue(_item(body=b64encode(text.encode()).decode())),
    "an item's base64": lambda text: _through_the_queue(_item(body=text)),
    "an item's envelopes": lambda text: _through_the_queue(
        _item(body=b64encode(b"[[[" + _envelope(text) + b"]" + TAIL).decode())
    ),
    "an item's junk envelopes": lambda text: _through_the_queue(
        _item(body=b64encode(b"[[[" + text.encode() + b"]" + TAIL).decode())
    ),
    "an item's compressed body": lambda text: _through_the_queue(
        _item(
            headers={"task": "bridge.Listed", "id": "1", "compression": "bzip2"},
            body=b64encode(bz2.compress(text.encode())).decode(),
        )
    ),
    "an item's header": lambda text: _through_the_queue(_item(headers={"task": text, "id": text})),
    "an item's other headers": lambda text: _through_the_queue(
        _item(headers={"task": "bridge.Listed", "id": "1", "eta": text, "argsrepr": text})
    ),
    "RabbitMQ's body": lambda text: _through_rabbitmq(text.encode(), {"task": "bridge.Listed", "id": "1"}),
    "RabbitMQ's envelopes": lambda text: _through_rabbitmq(
        b"[[[" + _envelope(text) + b"]" + TAIL, {"task": "bridge.Listed", "id": "1"}
    ),
    "RabbitMQ's compressed body": lambda text: _through_rabbitmq(
        zlib.compress(text.encode()), {"task": "bridge.Listed", "id": "1", "compression": "zlib"}
    ),
    "RabbitMQ's headers": lambda text: _through_rabbitmq(b"[[[]],{},{}]", {"task": text, "id": text, text[:50]: text}),
    "a body that says it is compressed": lambda text: decompressed(text.encode(), "xz"),
    "an envelope": _decode,
    "an envelope's id": lambda text: identify(msgspec.Raw(_envelope(text))),
    "an envelope of nothing": lambda text: encode_raw(text),
    "an event that is emitted": _emit,
    "an error's text": _describe,
    "a failure's cause": lambda text: cause_of(
        Failure(stage=Stage.EXTRACT, error_class="E", message=text, traceback=text)
    ),
    "a stream's entry": _stream,
    "a channel's message": lambda text: read_message(text),
    "a channel's event": lambda text: read_message(
        json.dumps({"event_id": str(uuid4()), "event_type": text, "data": {"a": text}, "position": text})
    ),
    "a letter": lambda text: read_letter(text),
    "a letter's user": lambda text: user_in(_envelope(text).decode()),
    "a letter that is masked": lambda text: mask_envelope(_envelope(text).decode()),
    "a retry": lambda text: read_retry("1:" + text),
    "a tombstone": lambda text: read_tombstone("id", text.encode(), ""),
    "a spool's row": lambda text: RowValidator(REGISTRY).judge(
        (b"bridge.FileImportFailed", _envelope(text), text.encode())
    ),
    "a spool's junk": lambda text: RowValidator(REGISTRY).judge((text.encode(), text.encode(), text.encode())),
    "a line of a log": one_line,
    "a request's query": lambda text: parse_request(QueryParams([("categories", text), (text, "1")]), {}, REGISTRY),
    "a request's headers": lambda text: parse_request(QueryParams(""), {"last-event-id": text}, REGISTRY),
    "a filter's time": lambda text: parse_time(text, 0),
    "a filter's names": lambda text: Selection(types=(text,), users=(text,), text=text).conditions(),
    "a page's cursor": lambda text: read_after(QueryParams([("after", text)])),
    "a page's number": lambda text: read_number(QueryParams([("n", text)]), "n", "N", low=0, high=1),
}
PIECES = (
    *(
        "brackets that open",
        "brackets that open and close",
        "quotes",
        "backslashes",
        "quotes behind escaped backslashes",
    ),
    *("letters", "white space", "line feeds", "a password", "half a signed token", "digits", "digits and commas"),
    *("a mail address", "a frame", "an object", "control characters", "letters beyond the plane"),
)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("door", INPUTS)
def test_time_grows_with_the_size_and_no_faster(door: str, piece: str) -> None:
    enter = INPUTS[door]

    def knock(text: str) -> None:
        with suppress(BridgeError, ValueError, msgspec.MsgspecError, RecursionError, TypeError, KeyError):
            enter(text)

    assert_in_proportion(knock, hostile(HOSTILE[piece]), SIZE)
