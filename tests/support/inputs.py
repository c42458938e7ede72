"""Every place where bytes of others come in, as a function that takes text: a table for those who feed them all."""

import bz2
import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import jwt
import msgspec
import redis
from kombu.transport import pyamqp
from msgspec.structs import replace
from starlette.datastructures import QueryParams
from starlette.requests import Request

from bridge import DomainEvent
from bridge.amqp_adapter.errors import broker_error
from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime.kombu_messages import bounded, check_body, raw_bytes
from bridge.cli.emit import read_event
from bridge.gateway.asgi import origin_fault
from bridge.gateway.auth import authenticator
from bridge.gateway.jwks import read_key_set
from bridge.gateway.request import parse_request
from bridge.gateway.tickets import TicketAuthenticator, hide_tickets
from bridge.gateway.withdrawals import KnownWithdrawals
from bridge.messages.bundling import Claimed, bundle, pass_on
from bridge.messages.queue_item import read_item
from bridge.messages.task_message import decompressed
from bridge.messages.validation import check_message
from bridge.messages.whole_message import read_whole
from bridge.model.bounds import MessageBounds
from bridge.model.counting import Counters
from bridge.model.dead_letter import read_letter, read_tombstone
from bridge.model.errors import BridgeError
from bridge.model.events.json_payload import encode_payload
from bridge.model.events.sse_event import read_message
from bridge.model.pipeline import Failure, Stage, describe, encode_raw, identify
from bridge.model.pipeline.envelope import EventCodec
from bridge.model.pipeline.failure import cause_of
from bridge.model.plain_text import one_line
from bridge.model.registry import EVERYONE
from bridge.model.registry.addresses import named_in
from bridge.model.withdrawal import Withdrawal
from bridge.operations.dry_run import is_json, occurred_at_of
from bridge.operations.letters import mask_envelope
from bridge.operations.selection import Selection, parse_time
from bridge.ops.access_control import RefusedError, read_form
from bridge.ops.page_context import pretty, read_after, read_number, read_selection
from bridge.ops.sessions import Role, Sessions, Throttle
from bridge.producer.row_validation import RowValidator
from bridge.redis_adapter import PublishedEvents, accounting, connect, redrive_jobs, reports, store_error
from bridge.redis_adapter.broker_queues import QueuedMessage
from bridge.redis_adapter.event_log import _entry
from bridge.redis_adapter.failed_events import read_retry
from bridge.redis_adapter.queue_discovery import QueueFinder
from bridge.settings import GatewaySettings, OpsSettings, Settings, read_settings
from bridge.settings.issuers import read_issuers
from bridge.worker.quarantine import Quarantine
from tests.support.letters import a_letter

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


def _control(text: str) -> None:
    rights: Any = SimpleNamespace(channel="control")
    KnownWithdrawals(rights, ttl_s=60, counters=Counters(), on_news=lambda: None).hear(text.encode())


def _at_once(coroutine: Coroutine[Any, Any, object]) -> object:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("It waits.")


def _identify(token: str) -> None:
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))]}
    _at_once(authenticator(GatewaySettings(jwt_secret="x" * 32)).identify(Request(scope)))


def _issuers_key(text: str) -> None:
    with suppress(jwt.PyJWTError):
        read_key_set(json.dumps({"keys": [{"kty": "EC", "x": text, "y": text, "kid": text}]}).encode())


def _ticket(text: str) -> None:
    async def take(_: str) -> bytes:
        return b"1 " + json.dumps({"user": text, "topics": [text], "session": text}).encode()

    scope = {"type": "http", "headers": [], "path": "/", "query_string": ("ticket=" + text).encode()}
    for given in (scope, {**scope, "bridge.tickets": ["x"]}):
        hide_tickets(given)
        with suppress(BridgeError):
            _at_once(TicketAuthenticator(_anybody, take, REGISTRY).identify(Request(given)))


_anybody: Any = None


def _issuers(text: str) -> None:
    for given in (text, json.dumps([{"issuer": text, "jwks_url": text, "secret": text}])):
        with suppress(ValueError):
            read_issuers(given)


def _form(text: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": f"reason={text}&{text}=1".encode(), "more_body": False}

    with suppress(RefusedError):
        _at_once(read_form(Request({"type": "http", "method": "POST", "headers": []}, receive)))


def _filters(text: str) -> None:
    for name in ("type", "user", "since", "group", "text"):
        with suppress(BridgeError):
            read_selection(QueryParams([(name, text)]), REGISTRY, now_ms=0, payloads=True)


def _past_events(text: str) -> None:
    fields = {b"event_id": text, b"event_type": text, b"occurred_at": text, b"data": text}
    client = connect(Settings())
    client.xrevrange = lambda *_, **__: [(b"1-1", fields)]
    list(PublishedEvents(client, Settings()).newest(EVERYONE, 1))


def _caller(text: str) -> None:
    throttle = Throttle()
    throttle.failed(text)
    throttle.wait_s(text)


def _session(text: str) -> None:
    sessions = Sessions(OpsSettings(ops_token="x" * 16))
    sessions.from_cookie(text)
    sessions.role_of(text)
    sessions.begin(Role.OPERATOR, text)


def _command(text: str) -> None:
    for given in (text, json.dumps({"file_name": text, text: 1})):
        with suppress(BridgeError):
            read_event(REGISTRY.mappings[0], given)


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
    "the control channel's message": _control,
    "the control channel's target": lambda text: _control(Withdrawal(text, 1).write().decode()),
    "a channel's event": lambda text: read_message(
        json.dumps({"event_id": str(uuid4()), "event_type": text, "data": {"a": text}, "position": text})
    ),
    "a letter": lambda text: read_letter(text),
    "a letter's user": lambda text: named_in(_envelope(text).decode()),
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
    "a filter's names": lambda text: Selection(types=(text,), addresses=(text,), text=text).conditions(),
    "a token": _identify,
    "a ticket": _ticket,
    "an issuer's keys": lambda text: read_key_set(text.encode()),
    "an issuer's key": _issuers_key,
    "the issuers in the settings": _issuers,
    "an origin in the settings": origin_fault,
    "a form": _form,
    "a page's filters": _filters,
    "a page's session": _session,
    "a caller's address": _caller,
    "JSON on a page": pretty,
    "an event for the command": _command,
    "a variable's name": lambda text: read_settings({f"BRIDGE_{text}": "1"}),
    "a variable's value": lambda text: read_settings({"BRIDGE_JWT_PORT": text, "BRIDGE_PREFIX": text}),
    "a store's words": lambda text: store_error(redis.ResponseError(text)),
    "a broker's words": lambda text: broker_error(OSError(text), "It is away."),
    "a worker's report": lambda text: reports.read_worker("one", f"1 {text}", 0),
    "a gateway's report": lambda text: reports.read_gateways({b"one": f"1 1 - {text}".encode()}, 0),
    "an entry of the log": lambda text: accounting._read_entry("1-1", {"numbers": text}),
    "a redrive's record": lambda text: redrive_jobs._read("key", "id", {"selection": text, "state": text}, 0, 0, 0),
    "a producer's report": lambda text: reports.read_producer(text.encode()),
    "a queue's name": lambda text: QueueFinder("")._note([text.encode()]),
    "what stands on a queue": lambda text: QueuedMessage(
        message_id="", book_id="", claimed=False, body=b64encode(text.encode()).decode()
    ).event_ids(),
    "what was no message": lambda text: Quarantine(None, None)._letter(  # type: ignore[arg-type]
        "id", text.encode(), "q", ValueError(text), text, "now"
    ),
    "a letter of a whole message": lambda text: read_whole(replace(a_letter(raw=text.encode()), envelope="")),
    "an event as it was published": _past_events,
    "a payload": lambda text: encode_payload({"a": text, "b": [text]}),
    "an envelope in a dry run": lambda text: (is_json(text), occurred_at_of(text)),
    "a page's cursor": lambda text: read_after(QueryParams([("after", text)])),
    "a page's number": lambda text: read_number(QueryParams([("n", text)]), "n", "N", low=0, high=1),
}
