"""``Pipeline``: decode, look up, extract, encode; every failure becomes an Outcome, none escapes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import uuid6

from bridge.model.errors import DecodeError, IdError, PayloadError, PermanentError
from bridge.model.events import SSEEvent, encode_payload
from bridge.model.events.sse_event import NO_USER, vouched_event
from bridge.model.pipeline.envelope import EventCodec, encode_raw, parsed, wire_names
from bridge.model.pipeline.failure import Failure, Stage, describe
from bridge.model.registry import (
    Address,
    Addressing,
    Audience,
    DomainToSSEMapping,
    IdType,
    Registry,
    RetryPolicy,
    User,
)
from bridge.model.registry.addresses import EVERYONE_TEXT, USER, AddressBook
from bridge.model.registry.identifiers import UUIDS


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Publish ``event``. A Struct, because one is made for nearly every event, and that is what it costs least."""

    event: SSEEvent  # what clients get
    payload: bytes  # ``event.data`` as one line of JSON
    audience: Audience | Addressing  # the event's user, broadcast, or as its function says:
    addresses: tuple[Address, ...] = ()
    envelope: object  # what it came from, so that a refused write can still be retried or dead-lettered


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """There is no recipient."""

    event_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again later."""

    event_id: UUID
    envelope: bytes  # JSON, byte for byte what is tried again
    attempt: int  # the attempt that failed, 1 for the first
    after_s: float  # seconds to wait
    failure: Failure  # why
    told: tuple[str, ...] = ()  # addresses of the event, as texts, by its mapping; nothing if that cannot be told
    # What an extractor raised, for the log of this process; None where nothing of the team's failed
    error: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dead:
    """Keep it for a person: it will not succeed by itself."""

    # The event's id; for what has no readable id, derived from its bytes, so that a redelivery makes the same letter
    letter_id: str
    envelope: bytes  # JSON of what came in
    attempt: int  # the attempt that failed, 1 for the first
    failure: Failure  # why
    told: tuple[str, ...] = ()  # as of a Retry
    error: BaseException | None = field(default=None, compare=False, repr=False)  # as of a Retry


Outcome: TypeAlias = Published | Skipped | Retry | Dead


_ID_TYPES = frozenset({UUID, uuid6.UUID})


def transform(event: Any, mapping: DomainToSSEMapping, users: IdType = UUIDS) -> SSEEvent | None:
    """Run the mapping's extractors; None when there is no recipient, as far as its user says that.

    The SSE event keeps the domain event's id and time: that is what makes a redelivery recognisable.

    Raises:
        IdError: ``user_id_extractor`` returns what is no user's id.
        Exception: whatever an extractor raises, or ValueError when it returns the wrong type.
    """
    user_id = mapping.user_id_extractor(event) if mapping.user_id_extractor else None
    if user_id is None:
        if mapping.audience is Audience.USER:
            return None
        user_id = NO_USER
    elif type(user_id) is not users.plain:
        user_id = users.checked(user_id)
    data, event_id, occurred_at = mapping.payload_extractor(event), event.event_id, event.occurred_at
    if (
        type(data) is dict
        and type(event_id) in _ID_TYPES
        and type(occurred_at) is datetime
        and occurred_at.tzinfo is UTC
    ):  # so it is with nearly every event; the registry vouches for the event type
        return vouched_event(mapping.sse_event_type, user_id, data, event_id, occurred_at)
    return SSEEvent.for_user(
        user_id, event_type=mapping.sse_event_type, data=data, event_id=event_id, occurred_at=occurred_at
    )


def addresses_of(event: Any, mapping: DomainToSSEMapping, book: AddressBook) -> tuple[Address, ...] | None:
    """Where an event goes whose mapping has a function for that; None if it goes nowhere, nothing if there is none.

    Raises:
        AddressError: the function returns what is no address.
        Exception: whatever it raises.
    """
    if isinstance(mapping.audience, Audience):
        return ()
    return book.all_checked(mapping.audience(event)) or None


class Pipeline:
    """Decides what becomes of each event; does nothing about it.

    Args:
        retry: policy of mappings that have none of their own.
        event_max_bytes: largest envelope and largest payload.
        random: returns a float in [0, 1); jitters the waits.

    Attributes:
        users: the registry's kind of user ids.
        addresses: which addresses the registry has.
    """

    def __init__(
        self, registry: Registry, *, retry: RetryPolicy, event_max_bytes: int, random: Callable[[], float]
    ) -> None:
        self.users = registry.users
        self.addresses = registry.addresses
        self._retry = retry
        self._event_max_bytes = event_max_bytes
        self._random = random
        self._user_fields = {row.domain_event_class: _user_field(row) for row in registry.mappings}
        self._codecs = {row.domain_event_class: EventCodec(row.domain_event_class) for row in registry.mappings}

    def run(self, mapping: DomainToSSEMapping, raw: object, *, attempt: int = 1, last_attempt: bool = False) -> Outcome:
        """Handle one envelope.

        Args:
            mapping: the one whose task received the envelope.
            raw: decoded JSON of any shape, or the JSON itself as ``msgspec.Raw``.
            attempt: 1 for the first delivery of this event.
            last_attempt: dead-letter it if this attempt fails, whatever the policy says.
        """
        stage, event, addresses = Stage.DECODE, None, None
        try:
            json = self._bounded(encode_raw(raw), "envelope")
            event = self._codecs[mapping.domain_event_class].decode(json)
            stage = Stage.EXTRACT
            addresses = addresses_of(event, mapping, self.addresses)
            if addresses is None:
                return Skipped(event_id=event.event_id)
            sse_event = transform(event, mapping, self.users)
            if sse_event is None:
                return Skipped(event_id=event.event_id)
            stage = Stage.ENCODE
            payload = self._bounded(encode_payload(sse_event.data), "payload")
            return Published(
                event=sse_event, payload=payload, audience=mapping.audience, addresses=addresses, envelope=raw
            )
        except (SystemExit, KeyboardInterrupt):
            raise  # the process is told to end, which is no attempt
        except BaseException as error:  # extractors are foreign code: also CancelledError or GeneratorExit
            failure = describe(error, stage, with_traceback=stage is Stage.EXTRACT)
            permanent = last_attempt or isinstance(error, PermanentError | DecodeError | PayloadError)
            raised = error if stage is Stage.EXTRACT else None
            told = tuple(map(str, addresses)) if addresses else self._told(mapping, event)
            return self.failed(mapping, raw, failure, attempt=attempt, permanent=permanent, error=raised, told=told)

    def failed(
        self,
        mapping: DomainToSSEMapping,
        raw: object,
        failure: Failure,
        *,
        attempt: int,
        permanent: bool = False,
        error: BaseException | None = None,
        told: tuple[str, ...] = (),
    ) -> Retry | Dead:
        """Retry or dead-letter an event whose ``attempt`` failed; the one place where that is decided.

        Its addresses, if not given, are the mapping's, or its user's, read from the envelope where the mapping returns
        one field of it. No foreign code is run for that: it may be what the event's process has died of.
        """
        told = told or self._told_by(mapping, raw)
        policy = mapping.retry or self._retry
        envelope = encode_raw(raw)
        event_id = _id_of(raw)
        if permanent or event_id is None or attempt >= policy.attempts:
            return Dead(
                letter_id=str(event_id or _id_from_bytes(envelope)),
                envelope=envelope,
                attempt=attempt,
                failure=failure,
                told=told,
                error=error,
            )
        return Retry(
            event_id=event_id,
            envelope=envelope,
            attempt=attempt,
            after_s=policy.delay_s(attempt, self._random),
            failure=failure,
            told=told,
            error=error,
        )

    def _told_by(self, mapping: DomainToSSEMapping, raw: object) -> tuple[str, ...]:
        """By the envelope: the user in the field that the mapping's extractor returns as it is, or in ``user_id``."""
        if mapping.audience is Audience.BROADCAST:
            return (EVERYONE_TEXT,)
        try:
            envelope = parsed(raw)
            data = envelope["data"] if isinstance(envelope, dict) else {}
            return (str(User(self.users.read(data[self._user_fields[mapping.domain_event_class]]))),)
        except (DecodeError, LookupError, TypeError, IdError):
            return ()

    def _told(self, mapping: DomainToSSEMapping, event: Any) -> tuple[str, ...]:
        """By the user that a failed event names; nothing if that fails, too."""
        if event is None or mapping.user_id_extractor is None or mapping.audience is Audience.BROADCAST:
            return ()
        try:
            return (f"{USER}:{self.users.text(mapping.user_id_extractor(event))}",)
        except Exception:  # foreign code, on an event that is in trouble already
            return ()

    def _bounded(self, encoded: bytes, what: str) -> bytes:
        if len(encoded) > self._event_max_bytes:
            raise PayloadError(
                f"The {what} has {len(encoded)} bytes; at most {self._event_max_bytes} are allowed "
                "(BRIDGE_EVENT_MAX_BYTES). Send a reference instead of the content."
            )
        return encoded


def _user_field(mapping: DomainToSSEMapping) -> str:
    """The field of the wire that the mapping's extractor returns as it is; ``user_id`` if it does anything else."""
    name = mapping.user_field or "user_id"
    return wire_names(mapping.domain_event_class).get(name, name)


def identify(raw: object) -> UUID:
    """The event's id; for what has no readable id, one derived from its bytes."""
    return _id_of(raw) or _id_from_bytes(encode_raw(raw))


def _id_of(raw: object) -> UUID | None:
    try:
        raw = parsed(raw)
    except DecodeError:
        return None
    if not isinstance(raw, dict):
        return None
    try:
        return UUID(raw["id"])
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def _id_from_bytes(envelope: bytes) -> UUID:
    return UUID(bytes=hashlib.sha256(envelope).digest()[:16])
