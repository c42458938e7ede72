"""What a mapping's extractors must return: a user's id, addresses, a payload with its keys and fit for JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from bridge.model.errors import AddressError, IdError, PayloadError
from bridge.model.events import encode_payload
from bridge.model.plain_text import one_line
from bridge.model.registry.addresses import AddressBook
from bridge.model.registry.identifiers import IdType
from bridge.model.registry.metadata import DomainToSSEMapping, SSEEventMetadata
from bridge.model.registry.payload_type import is_of_wrong_kind, keys_of, mismatch
from bridge.model.registry.sampling import JSON_VALUES, CannotSampleError, sample_event


def user_fault(mapping: DomainToSSEMapping, user_id: object, users: IdType) -> str | None:
    """Why no recipient can be told by what ``user_id_extractor`` returned; None if one can, or none should be."""
    returns = f"user_id_extractor of {class_name(mapping)} returns"
    if user_id is None:
        return None
    try:
        users.checked(user_id)
    except IdError as error:
        if isinstance(user_id, users.kind) and not isinstance(user_id, bool):
            return f"illegal user: {returns} what cannot be one: {error}"
        if users.kind is int and _is_guessed(mapping, users):
            return None
        what = type(user_id).__name__
        return f"user of the wrong type: {returns} {what}; it must return {users.form}, or None for no recipient."
    return None


def _is_guessed(mapping: DomainToSSEMapping, users: IdType) -> bool:
    """Whether the sample's user is a guess: it comes from a field of type Any, which may hold a number as well."""
    if mapping.example:
        return False
    with suppress(Exception, SystemExit):  # an extractor is foreign code
        event = sample_event(mapping.domain_event_class, anything=1)
        return bool(mapping.user_id_extractor and users.text(mapping.user_id_extractor(event)))
    return False


def audience_fault(mapping: DomainToSSEMapping, told: object, book: AddressBook) -> str | None:
    """Why what an ``audience`` that is a function returned is no address; None if it is."""
    try:
        book.all_checked(told)
    except AddressError as error:
        return f"illegal address: audience of {class_name(mapping)} returns what is none: {error}"
    return None


def payload_fault(mapping: DomainToSSEMapping, payload: object, meta: SSEEventMetadata) -> str | None:
    """Why what ``payload_extractor`` returned cannot be published; None if it can. Its values' types are not judged."""
    name = class_name(mapping)
    if not isinstance(payload, dict):
        return (
            f"payload of the wrong type: payload_extractor of {name} returns {type(payload).__name__}; "
            "it must return a dict."
        )
    optional = (
        {key for key, needed in keys_of(meta.payload).items() if not needed} if meta.payload is not None else set()
    )
    if not set(meta.payload_fields) - optional <= set(payload) <= set(meta.payload_fields):
        return (
            f"payload differs from the contract: {name} extracts {listed(payload)}, "
            f"but {mapping.sse_event_type.value} promises {listed(meta.payload_fields)}."
        )
    try:
        encode_payload(payload)
    except PayloadError as error:
        return f"payload that JSON cannot carry: payload_extractor of {name}: {error}"
    return None


class TypeFault(NamedTuple):
    """A payload that is not of the type that its metadata declares."""

    text: str
    certain: bool  # and not only of a sample whose values were guessed


def type_fault(mapping: DomainToSSEMapping, payload: Mapping[str, Any], meta: SSEEventMetadata) -> TypeFault | None:
    """How a payload that can be published differs from the declared type; None if it does not, or none is declared."""
    found = mismatch(encode_payload(payload), meta.payload) if meta.payload is not None else ""
    if not found:
        return None
    text = (
        f"payload differs from its type: {class_name(mapping)} extracts what is no {_name_of(meta.payload)}: "
        f"{one_line(found)}."
    )
    return TypeFault(text, mapping.example is not None or is_of_wrong_kind(found))


def _is_no_guess(mapping: DomainToSSEMapping, meta: SSEEventMetadata) -> bool:
    """Whether a payload has a wrong type whatever stands in fields of type Any."""
    for anything in () if mapping.example else JSON_VALUES:
        with suppress(Exception, SystemExit):  # an extractor is foreign code
            event = sample_event(mapping.domain_event_class, anything=anything)
            if type_fault(mapping, mapping.payload_extractor(event), meta) is None:
                return False
    return True


def sample_faults(mapping: DomainToSSEMapping, meta: SSEEventMetadata, book: AddressBook) -> Iterator[str]:
    """What is wrong with what the extractors return for one sample event.

    One that raises there is no fault: it may need data that a sample does not have. `sse-bridge check` says so.
    """
    try:
        event = examples_of(mapping)[0] if mapping.example else sample_event(mapping.domain_event_class)
    except CannotSampleError:
        return
    except Exception:  # an example is foreign code
        return
    if mapping.user_id_extractor:
        with suppress(Exception, SystemExit):  # an extractor is foreign code and may raise anything
            yield from filter(None, [user_fault(mapping, mapping.user_id_extractor(event), book.users)])
    if callable(mapping.audience):
        with suppress(Exception, SystemExit):
            yield from filter(None, [audience_fault(mapping, mapping.audience(event), book)])
    with suppress(Exception, SystemExit):
        payload = mapping.payload_extractor(event)
        if fault := payload_fault(mapping, payload, meta):
            yield fault
        elif (wrong := type_fault(mapping, payload, meta)) and wrong.certain and _is_no_guess(mapping, meta):
            yield wrong.text


def examples_of(mapping: DomainToSSEMapping) -> Sequence[Any]:
    """The sample events that a mapping gives itself: one, or several.

    Raises:
        CannotSampleError: it gives none.
        Exception: whatever the mapping's function raises.
    """
    made = mapping.example() if mapping.example else ()
    examples = made if isinstance(made, list | tuple) and not hasattr(made, "_fields") else (made,)
    if not examples:
        raise CannotSampleError("its example= gives no event")
    return examples


def class_name(mapping: DomainToSSEMapping) -> str:
    """The name of a mapping's domain event class, whatever stands in its place."""
    return _name_of(mapping.domain_event_class)


def _name_of(found: object) -> str:
    return found.__name__ if isinstance(found, type) else repr(found)


def listed(names: Iterable[object]) -> str:
    """Names in brackets."""
    return f"({', '.join(map(str, names))})"
