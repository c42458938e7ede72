"""Reading a domain event that a person wrote: which class is meant, and whether the fields fit it."""

import json
from difflib import get_close_matches
from typing import Any

import msgspec
from uuid6 import uuid7

from bridge.cli.documents import event_fields
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import EventRefusedError
from bridge.model.events.domain import utc_now
from bridge.model.pipeline.envelope import wire_names
from bridge.model.registry import DomainToSSEMapping, Id, Registry
from bridge.model.registry.contract import examples_of
from bridge.model.registry.metadata import attribute_returned
from bridge.model.registry.sampling import CannotSampleError, sample_event


def event_mapping(registry: Registry, name: str) -> DomainToSSEMapping:
    """The mapping of a domain event class or of a wire name.

    Raises:
        EventRefusedError: there is none, or a wire name has several; the message names what comes close.
    """
    mapping = registry.mapping_named(name)
    if mapping:
        return mapping
    by_wire_name = [row for row in registry.mappings if row.sse_event_type.value == name]
    if len(by_wire_name) == 1:
        return by_wire_name[0]
    if by_wire_name:
        classes = ", ".join(row.domain_event_class.__name__ for row in by_wire_name)
        raise EventRefusedError(f"Several domain events become {name}; name one: {classes}.")
    if registry.metadata_of_wire_name(name):
        raise EventRefusedError(f"No domain event is mapped to {name}, so it cannot be emitted.")
    known = [row.domain_event_class.__name__ for row in registry.mappings]
    near = _near(name, [*known, *(row.sse_event_type.value for row in registry.mappings)])
    hint = f"did you mean {near}?" if near else "see: sse-bridge registry."
    raise EventRefusedError(f"There is no domain event {name!r} in this registry; {hint}")


def read_event(mapping: DomainToSSEMapping, text: str, user_id: Id | None = None) -> Any:
    """The domain event in ``text``; what is left out of ``event_id`` and ``occurred_at`` is made now.

    Raises:
        EventRefusedError: it is missing, is no JSON object, or does not fit the class; the message names the field.
            Or a user is given, and it is unknown where such an event has its user.
    """
    event_class = mapping.domain_event_class
    fields = _object(text, event_class.__name__)
    names = event_fields(event_class)
    for unknown in [name for name in fields if name not in names]:
        near = _near(unknown, list(names))
        hint = f"did you mean {near}?" if near else f"its fields are {', '.join(names)}."
        raise EventRefusedError(f"{event_class.__name__} has no field {unknown!r}; {hint}")
    if user_id is not None:
        fields[_user_field(mapping)] = user_id if isinstance(user_id, int) else str(user_id)
    fields = {"event_id": str(uuid7()), "occurred_at": utc_now().isoformat(), **fields}
    try:
        return msgspec.convert(fields, event_class, strict=True)
    except msgspec.ValidationError as error:
        raise EventRefusedError(
            f"This is no {event_class.__name__}: {error}. See: sse-bridge emit {event_class.__name__} --example"
        ) from None


def example_json(mapping: DomainToSSEMapping, user_id: Id | None = None) -> str:
    """A sample of the class as JSON, without the fields that are made when they are left out.

    Raises:
        EventRefusedError: no sample can be made of the class, or it is unknown where its user stands.
    """
    try:
        event = examples_of(mapping)[0] if mapping.example else sample_event(mapping.domain_event_class)
    except CannotSampleError as error:
        raise EventRefusedError(f"No sample of {mapping.domain_event_class.__name__} can be made: {error}.") from None
    fields = json.loads(msgspec.json.encode(event))
    if user_id is not None:
        fields[_user_field(mapping)] = user_id if isinstance(user_id, int) else str(user_id)
    return json.dumps({key: fields[key] for key in fields if key not in ("event_id", "occurred_at")}, indent=2)


def _user_field(mapping: DomainToSSEMapping) -> str:
    """The field that the mapping's extractor returns as it is, as JSON calls it; or else ``user_id``."""
    names = wire_names(mapping.domain_event_class)
    name = attribute_returned(mapping.user_id_extractor) or "user_id"
    if name not in names:
        raise EventRefusedError(
            f"--user cannot tell where a {mapping.domain_event_class.__name__} has its user, because its "
            "user_id_extractor returns no field as it is; write the user into the JSON instead."
        )
    return names[name]


def _object(text: str, class_name: str) -> dict[str, Any]:
    if not text.strip():
        raise EventRefusedError(f"The JSON is missing. To see one: sse-bridge emit {class_name} --example")
    try:
        fields = msgspec.json.decode(text)
    except RecursionError:
        raise EventRefusedError("This JSON is nested too deeply to be an event.") from None
    except PARSER_ERRORS as error:
        raise EventRefusedError(f"This is no JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise EventRefusedError(f"The JSON must be an object with the fields of {class_name}.")
    return fields


def _near(name: str, known: list[str]) -> str:
    by_folded = {candidate.casefold(): candidate for candidate in known}
    return " or ".join(by_folded[near] for near in get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6))
