"""``sse-bridge emit``: one domain event from JSON, sent as any producer would send it."""

import sys
from uuid import UUID

import click

from bridge.catalogs import load_configured
from bridge.cli.console import plain, say
from bridge.cli.event_input import event_mapping, example_json, read_event
from bridge.model.errors import DeliveryError
from bridge.model.registry import Registry
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
    logging.getLogger("bridge").addHandler(logging.NullHandler())
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
