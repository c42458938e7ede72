"""The CloudEvents 1.0 envelope, and the codec that moves one domain event class in and out of it.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from operator import attrgetter
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
import uuid6
from msgspec import Meta, inspect

from bridge.model.bounds import LEVELS_MAX, PARSER_ERRORS, levels_of, too_deep
from bridge.model.errors import DecodeError, PayloadError
from bridge.model.events.json_payload import PLAIN_TYPES, refuse_not_finite
from bridge.model.pipeline.fit import bytes_misfit, field_fits, fields_of_text, is_written_by_name, misfit_of
from bridge.model.pipeline.unwritable import unwritable

_encoder = msgspec.json.Encoder(decimal_format="string")

_PLAIN_TYPES = PLAIN_TYPES | {uuid6.UUID, datetime, date, Decimal}
"""The same for a field: as an event is read again by its class, it needs no form of its own."""

TIME_BYTES = 35
"""The longest moment in JSON: to the microsecond, with an offset to the second."""


FITTING_MAX = 256
"""Combinations of types that are remembered for a class; others are judged anew each time."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a producer puts on the queue for one domain event.

    Attributes:
        specversion: always ``1.0``.
        id: the domain event's UUIDv7.
        source: which service emitted it.
        type: the domain event's class name.
        time: when it happened; RFC 3339 with an offset.
        data: the domain event's fields. ``event_id`` and ``occurred_at`` may be left out; ``id`` and
            ``time`` win.
        traceparent: W3C trace context, if the producer is traced.
    """

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    time: Annotated[datetime, Meta(tz=True)]
    data: dict[str, msgspec.Raw]
    traceparent: str | None = None


def read_envelope(json: bytes) -> Envelope:
    """An envelope from its JSON.

    Raises:
        DecodeError: it is invalid; the message names the field.
    """
    try:
        return _envelope_decoder.decode(json)
    except PARSER_ERRORS as error:
        raise DecodeError(f"This is no CloudEvents 1.0 envelope: {error}.") from error


_envelope_decoder = msgspec.json.Decoder(Envelope)


def parsed(raw: object) -> object:
    """``raw`` as decoded JSON, if it is JSON itself.

    Raises:
        DecodeError: it cannot be read.
    """
    if not isinstance(raw, msgspec.Raw):
        return raw
    try:
        return msgspec.json.decode(raw)
    except PARSER_ERRORS:
        pass  # Python's own parser takes a little more: NaN, lone surrogates
    try:
        return json.loads(bytes(raw))
    except PARSER_ERRORS as error:
        raise DecodeError(f"The envelope is no JSON: {error}.") from error


def encode_raw(raw: object) -> bytes:
    """JSON of an envelope, or of whatever came in its place: of any depth, with any text. Never raises.

    What is not finite stays as Python's parser read it, and no decoder takes it; as null it would be another event.
    """
    try:
        encoded = _encoder.encode(raw)
        if not isinstance(raw, msgspec.Raw) and b"null" in encoded:
            refuse_not_finite(raw, "It")
    except Exception:  # a lone surrogate, too many levels, a value that is no JSON
        return _encode_leniently(raw)
    return encoded


def wire_names(event_class: type[Any]) -> dict[str, str]:
    """The fields of a dataclass, attrs class or Struct, in their order, and what each is called in JSON."""
    info = cast("inspect.StructType", inspect.type_info(event_class))
    return {field.name: field.encode_name for field in info.fields}


class EventCodec:
    """Writes and reads the envelopes of one domain event class; built once for each mapping."""

    __slots__ = (
        "_at_once",
        "_by_name",
        "_event_class",
        "_event_decoder",
        "_fields_of",
        "_fits",
        "_fitting",
        "_id_name",
        "_texts_of",
        "_time_name",
        "_type",
    )

    def __init__(self, event_class: type[Any]) -> None:
        names = wire_names(event_class)
        self._event_class = event_class
        self._type = event_class.__name__
        self._id_name = names["event_id"]
        self._time_name = names["occurred_at"]
        self._fields_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
        texts = fields_of_text(event_class)
        self._texts_of: Callable[[Any], object] | None = attrgetter(*texts) if texts else None
        self._fits = field_fits(event_class, aware=False)
        self._by_name = is_written_by_name(event_class)
        # Combinations of types with which an event is plain, and surely decoded again.
        self._fitting: set[tuple[type, ...]] = set()
        # Made when the first event is read: producers need them only for what does not surely fit.
        self._event_decoder: msgspec.json.Decoder[Any] | None = None
        self._at_once: msgspec.json.Decoder[Any] | None = None

    def write(self, event: Any) -> bytes:
        """The event itself as JSON, which is the envelope's ``data``; nothing that happens to it later matters.

        Raises:
            PayloadError: the event holds what JSON cannot express, or its id or time is missing.
        """
        # Nearly every event passes at once; with cold caches, which a busy caller has, each step here counts.
        try:
            data = _encoder.encode(event)
            event_id, occurred_at = event.event_id, event.occurred_at
            kinds = tuple(map(type, self._fields_of(event)))
        except (AttributeError, TypeError, UnicodeEncodeError, *PARSER_ERRORS) as error:
            told = unwritable(event, self._type) or f"{self._type} cannot be written as JSON: {error}."
            raise PayloadError(told) from error
        if not isinstance(event_id, UUID):
            raise PayloadError(f"event_id of {self._type} must be a UUID, not {type(event_id).__name__}.")
        if not isinstance(occurred_at, datetime) or occurred_at.tzinfo is None:
            raise PayloadError(f"occurred_at of {self._type} must be a datetime with a timezone.")
        if kinds not in self._fitting:
            self._look_closer(event, kinds, data)
        return data

    def _look_closer(self, event: Any, kinds: tuple[type, ...], data: bytes) -> None:
        plain = _PLAIN_TYPES.issuperset(kinds)
        fits = self._by_name and all(fit.surely(kind) for fit, kind in zip(self._fits, kinds, strict=True))
        if not plain:
            self._look_into(event, data)
        if not fits:
            self._refuse_misfit(event, data)
        elif plain and len(self._fitting) < FITTING_MAX:
            self._fitting.add(kinds)

    def _refuse_misfit(self, event: Any, data: bytes) -> None:
        """What the worker could not read is said here, where the caller can act on it."""
        if self._event_decoder is None:
            self._make_decoders()
        assert self._event_decoder is not None  # noqa: S101
        misfit = misfit_of(self._event_decoder, data)
        if not misfit and self._texts_of is not None:
            misfit = bytes_misfit(event, self._event_class, self._texts_of(event))
        if misfit:
            raise PayloadError(f"It does not fit {self._type}, and no worker could read it: {misfit}.")

    def _look_into(self, event: Any, data: bytes) -> None:
        if levels_of(data) >= LEVELS_MAX:
            raise PayloadError(too_deep(self._type, LEVELS_MAX))
        if b"null" in data:  # as which msgspec writes what is not finite, too
            refuse_not_finite(msgspec.to_builtins(event, builtin_types=(msgspec.Raw,)), self._type)

    def wrap(self, data: object, event_id: UUID, occurred_at: datetime, *, source: str, traceparent: str = "") -> bytes:
        """The envelope around an event's data, as JSON; with a trace context, if there is one.

        ``data`` is what ``write`` returned, as ``msgspec.Raw``, or the event's snapshot (see ``snapshot_taker``).
        """
        members = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": self._type,
            "time": occurred_at,
            "data": data,
        }
        if traceparent:
            members["traceparent"] = traceparent
        return _encoder.encode(members)

    def encode(self, event: Any, *, source: str, traceparent: str = "") -> bytes:
        """The envelope of ``event`` as JSON.

        Raises:
            PayloadError: as for ``write``.
        """
        data = msgspec.Raw(self.write(event))
        return self.wrap(data, event.event_id, event.occurred_at, source=source, traceparent=traceparent)

    def overhead_bytes(self, source: str) -> int:
        """What an envelope has at most beside its data, without a trace context."""
        longest = self.wrap(msgspec.Raw(), UUID(int=0), datetime.max.replace(tzinfo=UTC), source=source)
        return len(longest) + TIME_BYTES

    def decode(self, json: bytes) -> Any:
        """The domain event in an envelope's JSON.

        Raises:
            DecodeError: it is no envelope, its type is another class's, or its data does not fit the class.
        """
        if self._event_decoder is None:
            self._make_decoders()
        event = self._decode_at_once(json)
        return self._decode_in_steps(read_envelope(json)) if event is None else event

    def _decode_at_once(self, json: bytes) -> Any | None:
        """The event, if nothing at all is unusual about its envelope. Steps would give the same, and cost twice."""
        if self._at_once is None:
            return None
        try:
            envelope = self._at_once.decode(json)
        except PARSER_ERRORS:
            return None  # steps tell what is wrong, and take what may be left out
        event, time = envelope.data, envelope.time
        same_time = event.occurred_at == time and event.occurred_at.tzinfo == time.tzinfo
        return event if same_time and event.event_id == envelope.id else None

    def _decode_in_steps(self, envelope: Envelope) -> Any:
        if envelope.type != self._type:
            raise DecodeError(f"The envelope's type is {envelope.type!r}, but this task handles {self._type}.")
        fields = {**envelope.data, self._id_name: envelope.id, self._time_name: envelope.time}
        assert self._event_decoder is not None  # noqa: S101
        try:
            return self._event_decoder.decode(_encoder.encode(fields))
        except PARSER_ERRORS as error:
            raise DecodeError(f"The data does not fit {self._type}: {error}.") from error

    def _make_decoders(self) -> None:
        if not _runs_code_of_its_own(self._event_class):
            self._at_once = msgspec.json.Decoder(_typed_envelope(self._event_class))
        self._event_decoder = msgspec.json.Decoder(self._event_class)


def _runs_code_of_its_own(event_class: type[Any]) -> bool:
    """Whether a class looks at its values when it is made: then it must not see an id that the envelope replaces."""
    if any(hasattr(event_class, name) for name in ("__post_init__", "__attrs_post_init__", "__attrs_pre_init__")):
        return True
    return any(field.validator or field.converter for field in getattr(event_class, "__attrs_attrs__", ()))


def _typed_envelope(event_class: type[Any]) -> Any:
    """``Envelope`` with the event instead of any data."""
    fields: list[Any] = [
        ("specversion", Literal["1.0"]),
        ("id", UUID),
        ("source", str),
        ("type", Literal[event_class.__name__]),
        ("time", Annotated[datetime, Meta(tz=True)]),
        ("data", event_class),
        ("traceparent", str | None, None),
    ]
    return msgspec.defstruct(f"EnvelopeOf{event_class.__name__}", fields, kw_only=True, frozen=True)


class _Verbatim(str):
    """JSON that is already written."""

    __slots__ = ()


def _encode_leniently(raw: object) -> bytes:
    """Write level by level, without recursion; a letter must keep even what no encoder takes."""
    written: list[str] = []
    todo: list[Any] = [raw]
    while todo:
        item = todo.pop()
        if isinstance(item, _Verbatim):
            written.append(item)
        elif isinstance(item, dict):
            parts = [part for key, value in item.items() for part in (_Verbatim(f"{_scalar(str(key))}:"), value)]
            todo += reversed([_Verbatim("{"), *_with_commas(parts, every=2), _Verbatim("}")])
        elif isinstance(item, list | tuple):
            todo += reversed([_Verbatim("["), *_with_commas(item, every=1), _Verbatim("]")])
        else:
            written.append(_scalar(item))
    return "".join(written).encode()


def _with_commas(parts: Sequence[Any], *, every: int) -> Iterator[Any]:
    for index, part in enumerate(parts):
        if index and index % every == 0:
            yield _Verbatim(",")
        yield part


def _scalar(value: object) -> str:
    if isinstance(value, float) and not isfinite(value):
        return json.dumps(value)
    try:
        return _encoder.encode(value).decode()
    except Exception:  # foreign values may raise anything
        return json.dumps(value if isinstance(value, str) else f"<{type(value).__name__}>")
