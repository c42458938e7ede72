"""``sse-bridge emit``: one domain event that a person wrote as JSON, judged by its class and sent as by a producer."""

import json
import sys
from difflib import get_close_matches
from typing import Any
from uuid import UUID

import click
import msgspec
from uuid6 import uuid7

from bridge.catalogs import load_configured
from bridge.cli.console import plain, say
from bridge.cli.documents import event_fields
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import DeliveryError, EventRefusedError
from bridge.model.events.types import utc_now
from bridge.model.pipeline.envelope import wire_names
from bridge.model.registry import DomainToSSEMapping, Id, Registry
from bridge.model.registry.contract import examples_of
from bridge.model.registry.sampling import CannotSampleError, sample_event
from bridge.on_demand import ROOT
from bridge.runtime.command_names import command
from bridge.settings import ProducerSettings
from bridge.settings.urls import shown_url


@click.command()
@click.argument("event_type", metavar="TYPE")
@click.argument("text", metavar="[JSON|-]", required=False)
@click.option("--user", metavar="ID", help="The recipient; sets the field that the extractor returns.")
@click.option("--example", is_flag=True, help="Print a sample JSON for TYPE, and send nothing.")
def emit(event_type: str, text: str | None, user: str | None, example: bool) -> None:
    r"""Send one domain event, written as JSON.

    TYPE is a domain event class (FileImportFailed) or the name it has on the wire (import.failed). JSON holds the
    fields of that class; event_id and occurred_at may be left out. Use - to read it from stdin. The command waits
    until the broker has the event, then prints the event's id. Sending the same event_id again changes nothing.

    \b
    Examples:
      sse-bridge emit FileImportFailed --example
      sse-bridge emit import.failed --user 0190f0a1-0000-7000-8000-000000000001 \
          '{"file_name": "may.csv", "reason": "no header"}'
      sse-bridge emit FileImportFailed - < event.json

    Exit codes: 0 the broker has it, 1 the broker did not take it, 2 wrong type, fields or settings.
    """
    settings, registry = load_configured(ProducerSettings)
    mapping = event_mapping(registry, event_type)
    user_id = None if user is None else registry.users.parse(user.strip())
    if example:
        click.echo(example_json(mapping, user_id))
        return
    event_id = _send(settings, registry, read_event(mapping, _given(text), user_id))
    click.echo(event_id)
    say(f"{mapping.domain_event_class.__name__} is on {registry.queue_of(mapping)}.")


def _given(text: str | None) -> str:
    """The JSON: the argument, or what is on stdin; empty if none was given."""
    if text is None and sys.stdin.isatty():
        return ""
    if text is None or text == "-":
        # Bytes that are no UTF-8 are refused as no JSON, not by the reading of them.
        return sys.stdin.buffer.read().decode(errors="surrogateescape")
    return text


def _send(settings: ProducerSettings, registry: Registry, event: object) -> UUID:
    import logging

    from bridge.producer import Emitter

    # What the emitter logs is said below, in one sentence.
    logging.getLogger(ROOT).addHandler(logging.NullHandler())
    emitter = Emitter(settings, registry, strict=True)
    try:
        emitter.emit(event)
    except DeliveryError:
        event_id = getattr(event, "event_id", None)
        why = plain(emitter.trouble)
        raise DeliveryError(
            f"The broker at {shown_url(settings.broker_url)} did not take event {event_id}. {why} Check that it runs "
            "and that BRIDGE_BROKER_URL is right, then send the event again."
        ) from None
    finally:
        emitter.close(timeout_s=0)
    found: UUID = event.event_id  # type: ignore[attr-defined]  # every mapped class has one
    return found


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
    hint = f"did you mean {near}?" if near else f"see: {command('registry')}."
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
            f"This is no {event_class.__name__}: {error}. See: {command('emit')} {event_class.__name__} --example"
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
    name = mapping.user_field or "user_id"
    if name not in names:
        raise EventRefusedError(
            f"--user cannot tell where a {mapping.domain_event_class.__name__} has its user, because its "
            "user_id_extractor returns no field as it is; write the user into the JSON instead."
        )
    return names[name]


def _object(text: str, class_name: str) -> dict[str, Any]:
    if not text.strip():
        raise EventRefusedError(f"The JSON is missing. To see one: {command('emit')} {class_name} --example")
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
