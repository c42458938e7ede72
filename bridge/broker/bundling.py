"""Bundling: small messages of one task that were claimed together become one, so that the pool is asked once; pure.

Only messages exactly as ``TaskMessage`` writes them take part, first deliveries without anything special.
Each keeps its own place in the books and its own delivery tag.
"""

from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.broker.message import BOOKED_HEADER, BUNDLE_HEADER, OVERHEAD_BYTES, shown_arguments
from bridge.broker.passing import PASSED_CONTENT_ENCODING, PASSED_CONTENT_TYPE, envelopes_of, split

EVENTS_MAX = 2_000
"""Events in a bundle at the most."""
BYTES_MAX = 1_000_000
"""Bytes of a bundle's body at the most."""

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
    """A message in a worker's hands.

    Attributes:
        tag: its delivery tag.
        queue: where it stood.
        payload: kombu's form of it.
    """

    tag: str
    queue: str
    payload: dict[str, Any]


@dataclass(slots=True)
class Bundle:
    """Messages of one task, in the order in which they were claimed; ``events`` is 0 for one that cannot be bundled."""

    queue: str
    lead: dict[str, Any]
    members: list[Claimed] = field(default_factory=list)
    parts: list[tuple[str, str, int]] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    events: int = 0
    size: int = OVERHEAD_BYTES

    @property
    def tags(self) -> list[str]:
        """The delivery tags of its messages."""
        return [member.tag for member in self.members]

    def takes(self, claimed: Claimed, size: int, events: int, events_max: int) -> bool:
        """Whether the bundle stays within its bounds; and a message that was sent twice is run twice, not at once."""
        is_new = claimed.payload["headers"]["id"] not in self.ids
        return is_new and self.events + events <= events_max and self.size + size < BYTES_MAX

    def add(self, claimed: Claimed, envelopes: bytes, events: int) -> None:
        """Take a message in."""
        headers = claimed.payload["headers"]
        self.members.append(claimed)
        self.ids.add(headers["id"])
        self.parts.append((headers["id"], headers.get(BOOKED_HEADER, ""), events))
        self.envelopes.append(envelopes)
        self.events += events
        self.size += len(envelopes) + 1

    def payload(self) -> dict[str, Any]:
        """The one message in kombu's form; it goes by the name and tag of the first."""
        if not self.events:
            return self.lead
        headers = self.lead["headers"]
        if len(self.members) > 1:
            headers = {**headers, "argsrepr": shown_arguments(self.events), BUNDLE_HEADER: self.parts}
        return {
            **self.lead,
            "body": b",".join(self.envelopes),
            "content-type": PASSED_CONTENT_TYPE,
            "content-encoding": PASSED_CONTENT_ENCODING,
            "headers": headers,
            "properties": {**self.lead["properties"], "body_encoding": None},
        }


def bundle(messages: Iterable[Claimed], *, events_max: int = EVENTS_MAX) -> Iterator[Bundle]:
    """Put messages together where that is possible, those of one task in their order.

    Args:
        messages: in the order in which they were claimed.
        events_max: events in a bundle; a message that has more goes alone.
    """
    events_max = min(events_max, EVENTS_MAX)
    open_bundles: dict[tuple[str, str], Bundle] = {}
    done: list[Bundle] = []
    for claimed in messages:
        found = _plain_envelopes(claimed.payload)
        if found is None:
            done.append(Bundle(queue=claimed.queue, lead=claimed.payload, members=[claimed]))
            continue
        envelopes, events = found
        key = (claimed.queue, claimed.payload["headers"]["task"])
        current = open_bundles.get(key)
        if current is None or not current.takes(claimed, len(envelopes), events, events_max):
            current = open_bundles[key] = Bundle(queue=claimed.queue, lead=claimed.payload)
            done.append(current)
        current.add(claimed, envelopes, events)
    yield from done


def _plain_envelopes(payload: Mapping[str, Any]) -> tuple[bytes, int] | None:
    """A message's envelopes as JSON with commas between them, and how many; None if it is not plain."""
    try:
        if payload["properties"]["body_encoding"] != "base64" or not _is_plain(payload["headers"]):
            return None
        body = a2b_base64(payload["body"])
        envelopes = envelopes_of(body, payload["content-type"], payload["content-encoding"])
        events = len(split(envelopes)) if envelopes else 0
        return (envelopes, events) if envelopes and events else None
    except Exception:  # a queue may hold anything; the consumer says what is wrong with it
        return None


def _is_plain(headers: Mapping[str, Any]) -> bool:
    return (
        isinstance(headers.get("task"), str)
        and isinstance(headers.get("id"), str)
        and headers["id"] != ""
        and isinstance(headers.get(BOOKED_HEADER, ""), str)
        and all(name in _ANY or (name in _PLAIN and value == _PLAIN[name]) for name, value in headers.items())
    )
