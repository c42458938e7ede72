"""Writing a Celery message by hand: protocol 2 around envelopes that are JSON already.

Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

import os
import socket
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

from bridge.messages.compression import COMPRESSION_HEADER

ATTEMPT_HEADER = "bridge_attempt"
"""Header that tells the worker which attempt a message is; absent means the first."""

BOOKED_HEADER = "bridge_booked"
"""Header with the id under which the message's events are in the accounting; absent if no producer announced them."""
REDRIVE_HEADER = "bridge_replay"
"""Header with the redrive that sent a message; its events are dead letters, and have one attempt."""
BUNDLE_HEADER = "bridge_bundle"
"""Header of messages that the transport has put together, never on the wire: task, id, booked_as and events of each."""

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"

BODY_HEAD = b"[[["
BODY_TAIL = b']],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
_HOST = socket.gethostname()
OVERHEAD_BYTES = len(BODY_HEAD) + len(BODY_TAIL)
"""What a body has besides its envelopes and the commas between them."""


def new_message_id() -> str:
    """A new Celery task id."""
    return str(uuid4())


class TaskMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One Celery message: 1..N envelopes of one type."""

    task: str  # ``bridge.<DomainEventClass>``
    queue: str  # ``bridge.<category>``
    envelopes: Sequence[bytes]  # each a JSON object
    attempt: int = 1  # 1 for the first
    # The Celery task id; stays when the message is sent again after trouble
    message_id: str = msgspec.field(default_factory=new_message_id)
    # 16 bytes an event, to be entered into the accounting with the message; empty if they are in the accounting
    # already, or not to be
    event_ids: bytes = b""
    booked_as: str = ""  # the message under which the events are in the accounting already
    redrive: str = ""  # the redrive that sends it; empty if none

    def body(self) -> bytes:
        """``[args, kwargs, embed]`` with ``args = [[envelope, ...]]``, as JSON."""
        return BODY_HEAD + b",".join(self.envelopes) + BODY_TAIL

    def headers(self, *, announced: bool, compression: str = "") -> dict[str, Any]:
        """Protocol 2 headers. Of the envelopes only an id is in them, as tools log and show them.

        ``announced``: ``event_ids`` are in the accounting; ``compression``: of the body as it is sent, empty if it has
        none.
        """
        headers: dict[str, Any] = {
            "lang": "py",
            "task": self.task,
            "id": self.message_id,
            "root_id": self.message_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": shown_arguments(len(self.envelopes), self.event_ids),
            "kwargsrepr": "{}",
            "origin": f"{os.getpid()}@{_HOST}",
            "ignore_result": True,
        }
        if compression:
            headers[COMPRESSION_HEADER] = compression
        if self.attempt > 1:
            headers[ATTEMPT_HEADER] = self.attempt
        if self.redrive:
            headers[REDRIVE_HEADER] = self.redrive
        booked_as = self.booked_as or (self.message_id if announced and self.event_ids else "")
        if booked_as:
            headers[BOOKED_HEADER] = booked_as
        return headers


def shown_arguments(events: int, event_ids: bytes = b"") -> str:
    """What Flower and Celery log or show: how many events, and the id of the first, for ``sse-bridge trace``."""
    words = "1 event" if events == 1 else f"{events} events"
    first = f" from {UUID(bytes=event_ids[:16])}" if event_ids else ""
    return f"({words}{first})"
