"""``WholeMessage``: a quarantined message, read from the bytes that its letter kept; pure."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from bridge.messages import ATTEMPT_HEADER, BOOKED_HEADER, REDRIVE_HEADER
from bridge.messages.queue_item import read_kept
from bridge.messages.validation import check_message, check_number, check_size
from bridge.model.bounds import PARSER_ERRORS, MessageBounds
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import DecodeError
from bridge.model.pipeline import identify
from bridge.model.registry import Registry

ID_BYTES = 16
_bodies = msgspec.json.Decoder(tuple[tuple[list[Any]], dict[str, Any], Any])
_envelopes = msgspec.json.Decoder(tuple[tuple[list[msgspec.Raw]], dict[str, Any], Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeMessage:
    """A message of events, as it stood on a queue."""

    task: str  # that it names
    queue: str  # it stood on
    book_id: str  # under which the accounting had its events; empty if these are waiting retries, or redriven letters
    event_ids: bytes  # ID_BYTES an event
    headers: dict[str, Any]  # Celery's and ours
    body: bytes  # what Celery calls so, in UTF-8, not compressed

    @property
    def events(self) -> int:
        """How many it has."""
        return len(self.event_ids) // ID_BYTES

    def refusal(self, registry: Registry, bounds: MessageBounds) -> str:
        """Why a worker with this registry and these bounds would quarantine it again; empty if it would run it."""
        return _refusal(self.headers, self.body, registry, bounds)

    def refusal_of_events(self, registry: Registry) -> str:
        """Why its events cannot be sent in messages of their own, with other headers; empty if they can."""
        return _refusal({"task": self.task, "id": str(uuid4())}, self.body, registry, MessageBounds.WIDEST)

    def letters(self, whole: DeadLetter) -> tuple[DeadLetter, ...]:
        """A letter for each of its events, with the cause and the place of the one that holds them all."""
        found = {}
        for raw in _envelopes.decode(self.body)[0][0]:
            letter_id, envelope = str(identify(raw)), bytes(raw).decode()
            # Whose event it is, and what its cause is called, is made anew.
            found[letter_id] = replace(whole, letter_id=letter_id, envelope=envelope, raw=b"", replay="", group="")
        return tuple(found.values())


def read_whole(letter: DeadLetter) -> WholeMessage | None:
    """The message that a letter holds; None if it holds an event, or bytes that are no message of events."""
    if letter.envelope or not letter.raw or letter.cut_from:
        return None
    try:
        headers, body = read_kept(letter.raw)
        content = _bodies.decode(body)
    except (DecodeError, *PARSER_ERRORS):
        return None
    envelopes = content[0][0]
    task, message_id = headers.get("task"), headers.get("id")
    if not envelopes or not task or not isinstance(task, str) or not message_id or not isinstance(message_id, str):
        return None
    booked_as = headers.get(BOOKED_HEADER)
    return WholeMessage(
        task=task,
        queue=letter.queue,
        book_id="" if _is_again(headers) else booked_as if booked_as and isinstance(booked_as, str) else message_id,
        event_ids=b"".join(identify(raw).bytes for raw in envelopes),
        headers=headers,
        body=body,
    )


def _refusal(headers: dict[str, Any], body: bytes, registry: Registry, bounds: MessageBounds) -> str:
    tasks = [registry.task_of(mapping) for mapping in registry.mappings]
    try:
        check_size(body, body_bytes_max=bounds.body_bytes)
        content = msgspec.json.decode(body)
        check_message(headers, lambda: content, tasks)
        check_number(content[0], bounds.envelopes)
    except DecodeError as error:
        return str(error)
    return ""


def _is_again(headers: dict[str, Any]) -> bool:
    """Whether a message brings a retry or a redriven letter, whose events the accounting does not have in flight."""
    attempt = headers.get(ATTEMPT_HEADER)
    return (isinstance(attempt, int) and attempt > 1) or bool(headers.get(REDRIVE_HEADER))
