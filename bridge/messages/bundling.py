"""How a worker's main process passes envelopes on to its pool: as the bytes that came, many messages as one; pure.

Celery parses a body in the main process and again in the pool's. A body exactly as ``TaskMessage`` writes it travels
between the two under a content type of our own, which Celery's parser takes as it is. Messages of that form that were
claimed together, first deliveries without anything special, become a bundle, so that the pool is asked once; each keeps
its own task, its own place in the accounting and its own delivery tag.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.messages.task_message import (
    ATTEMPT_HEADER,
    BODY_HEAD,
    BODY_TAIL,
    BOOKED_HEADER,
    BUNDLE_HEADER,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    OVERHEAD_BYTES,
    REDRIVE_HEADER,
    shown_arguments,
)
from bridge.messages.validation import DELIVERIES_HEADERS, is_id
from bridge.model.bounds import LEVELS_READ_MAX, PARSER_ERRORS, VALUES_MAX, MessageBounds, levels_of, values_of

PASSED_CONTENT_TYPE = "application/x-bridge-envelopes"
"""Never on the wire."""
PASSED_CONTENT_ENCODING = "binary"

_raws = msgspec.json.Decoder(list[msgspec.Raw])


class Envelopes:
    """Envelopes as JSON with commas between them."""

    __slots__ = ("_json",)

    def __init__(self, json: bytes) -> None:
        self._json = json

    def __repr__(self) -> str:
        return f"<{len(self._json)} bytes of envelopes>"  # Celery may log arguments

    def __json__(self) -> str:
        """What ``celery inspect`` shows: kombu asks for this."""
        return repr(self)

    def split(self) -> list[msgspec.Raw]:
        """Each envelope's JSON."""
        return split(self._json)


def split(json: bytes, *, envelopes_max: int = MessageBounds.WIDEST.envelopes) -> list[msgspec.Raw]:
    """The values of JSON with commas between them.

    Raises:
        ValueError: it is not well-formed, or not in UTF-8, or beyond a bound.
        RecursionError: it has too many levels.
    """
    json.decode()
    if len(json) > VALUES_MAX and values_of(json) > VALUES_MAX:
        raise ValueError("It has too many values.")
    raws = _raws.decode(b"[%b]" % json)
    if len(raws) > envelopes_max:
        raise ValueError("It has too many envelopes.")
    # At half of the levels at which it gives up here, the parser will not give up in a process deep in other calls.
    if json.count(b"[") + json.count(b"{") > LEVELS_READ_MAX and any(map(_is_too_deep, _long(raws))):
        raise ValueError("It has too many levels.")
    return raws


def _long(raws: list[msgspec.Raw]) -> list[msgspec.Raw]:
    """Envelopes, if any has bytes enough for too many levels, which take two each; that is seldom so, and soon seen."""
    return raws if max([len(memoryview(raw)) for raw in raws]) > 2 * LEVELS_READ_MAX else []


def _is_too_deep(raw: msgspec.Raw) -> bool:
    return levels_of(bytes(raw), exact_above=LEVELS_READ_MAX) > LEVELS_READ_MAX


def envelopes_of(body: object, content_type: object, content_encoding: object) -> bytes | None:
    """What stands between the head and the tail of a body, if both are as ``TaskMessage`` writes them."""
    if content_type != CONTENT_TYPE or content_encoding != CONTENT_ENCODING:
        return None
    if not (isinstance(body, bytes) and body.startswith(BODY_HEAD) and body.endswith(BODY_TAIL)):
        return None
    return body[len(BODY_HEAD) : -len(BODY_TAIL)]


def pass_on(message: Any, *, envelopes_max: int = MessageBounds.WIDEST.envelopes) -> None:
    """Have a kombu message's envelopes parsed by the pool only, if its body is well-formed and as we write it."""
    json = envelopes_of(message.body, message.content_type, message.content_encoding)
    try:
        if not json or not split(json, envelopes_max=envelopes_max):
            return
    except PARSER_ERRORS:
        return  # Celery's parser will say what is wrong
    message.body, message.content_type, message.content_encoding = json, PASSED_CONTENT_TYPE, PASSED_CONTENT_ENCODING


def on_the_wire(message: Any) -> tuple[Any, Any, Any]:
    """Body, content type and content encoding as they came."""
    if message.content_type == PASSED_CONTENT_TYPE:
        return BODY_HEAD + message.body + BODY_TAIL, CONTENT_TYPE, CONTENT_ENCODING
    return message.body, message.content_type, message.content_encoding


EVENTS_MAX = 2_000
"""Events in a bundle at most."""
BYTES_MAX = 1_000_000
"""Bytes of a bundle's body at most."""

_OUT_OF_ORDER = (ATTEMPT_HEADER, REDRIVE_HEADER, *DELIVERIES_HEADERS)
_ANY = frozenset({"lang", "task", "id", "root_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", BOOKED_HEADER})
_PLAIN: dict[str, Any] = {
    "parent_id": None,
    "group": None,
    "retries": 0,
    "eta": None,
    "expires": None,
    "timelimit": [None, None],
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message claimed by a worker; ``payload`` is kombu's form of it, as ``read_item`` gives it."""

    tag: str
    queue: str
    payload: dict[str, Any]


@dataclass(slots=True)
class Bundle:
    """Messages in the order in which they were claimed; ``events`` is 0 for one that cannot be bundled."""

    lead: Claimed
    members: list[Claimed] = field(default_factory=list)
    parts: list[tuple[str, str, str, int]] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    events: int = 0
    size: int = OVERHEAD_BYTES

    @property
    def tags(self) -> list[str]:
        """The delivery tags of its messages."""
        return [member.tag for member in self.members]

    def takes(self, claimed: Claimed, size: int, events: int, events_max: int) -> bool:
        """Whether a message fits into the bundle. One that is in it already does not: sent twice, it is run twice."""
        is_new = claimed.payload["headers"]["id"] not in self.ids
        return is_new and self.events + events <= events_max and self.size + size < BYTES_MAX

    def add(self, claimed: Claimed, envelopes: bytes, events: int) -> None:
        """Take a message in."""
        headers = claimed.payload["headers"]
        self.members.append(claimed)
        self.ids.add(headers["id"])
        self.parts.append((headers["task"], headers["id"], headers.get(BOOKED_HEADER, ""), events))
        self.envelopes.append(envelopes)
        self.events += events
        self.size += len(envelopes) + 1

    def payload(self) -> dict[str, Any]:
        """The one message in kombu's form; it goes by the task, name and tag of the first."""
        lead = self.lead.payload
        if not self.events:
            return lead
        headers = lead["headers"]
        if len(self.members) > 1:
            headers = {**headers, "argsrepr": shown_arguments(self.events), BUNDLE_HEADER: self.parts}
        return {
            **lead,
            "body": b",".join(self.envelopes),
            "content-type": PASSED_CONTENT_TYPE,
            "content-encoding": PASSED_CONTENT_ENCODING,
            "headers": headers,
        }


def bundle(
    messages: Iterable[Claimed],
    *,
    tasks: Collection[str],
    mixed: bool,
    events_max: int = EVENTS_MAX,
    envelopes_max: int = MessageBounds.WIDEST.envelopes,
) -> Iterator[Bundle]:
    """Put messages together where that is possible, in their order.

    What goes alone keeps its place too, unless it had lost it before: a retry, a redriven letter, a message that came
    back from a dead worker.

    Args:
        messages: in the order in which they were claimed.
        tasks: names of those that take bundles; a message for another goes alone.
        mixed: whether messages of several tasks and queues may go together.
        events_max: events in a bundle; a message that has more goes alone.
        envelopes_max: in one message; one that has more is judged by the consumer.
    """
    events_max = min(events_max, EVENTS_MAX)
    open_bundles: dict[tuple[str, str] | None, Bundle] = {}
    done: list[Bundle] = []
    for claimed in messages:
        found = _plain_envelopes(claimed.payload, tasks, envelopes_max)
        if found is None:
            done.append(Bundle(lead=claimed, members=[claimed]))
            if _keeps_its_place(claimed.payload):
                open_bundles.clear()
            continue
        envelopes, events = found
        key = None if mixed else (claimed.queue, claimed.payload["headers"]["task"])
        current = open_bundles.get(key)
        if current is None or not current.takes(claimed, len(envelopes), events, events_max):
            current = open_bundles[key] = Bundle(lead=claimed)
            done.append(current)
        current.add(claimed, envelopes, events)
    yield from done


def _plain_envelopes(
    payload: Mapping[str, Any], tasks: Collection[str], envelopes_max: int
) -> tuple[bytes, int] | None:
    """A message's envelopes as JSON with commas between them, and how many; None if it is not plain."""
    try:
        if payload["properties"]["body_encoding"] is not None or not _is_plain(payload["headers"], tasks):
            return None
        envelopes = envelopes_of(payload["body"], payload["content-type"], payload["content-encoding"])
        events = len(split(envelopes, envelopes_max=envelopes_max)) if envelopes else 0
        return (envelopes, events) if envelopes and events else None
    except Exception:  # a queue may hold anything; the consumer says what is wrong with it
        return None


def _keeps_its_place(payload: Mapping[str, Any]) -> bool:
    """Whether later messages must wait for this one. They need not for a retry, whose place in the order is lost."""
    try:
        return not any(payload["headers"].get(name) for name in _OUT_OF_ORDER)
    except Exception:  # a queue may hold anything
        return True


def _is_plain(headers: Mapping[str, Any], tasks: Collection[str]) -> bool:
    return (
        headers.get("task") in tasks
        and is_id(headers.get("id"))
        and headers["id"] != ""
        and is_id(headers.get(BOOKED_HEADER, ""))
        and all(name in _ANY or (name in _PLAIN and value == _PLAIN[name]) for name, value in headers.items())
    )
