"""``sse-bridge trace``: where one event is, and what happened to it."""

from typing import Any, assert_never
from uuid import UUID

import click

from bridge.catalogs import load_registry
from bridge.cli.console import console, json_option, plain, print_json, say, styled
from bridge.cli.filters import open_named_store
from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.registry.addresses import user_of
from bridge.model.retry import Attempt
from bridge.operations import OnItsWay, Place, SkippedEvent, Tracer, Waiting, address_in, of_user
from bridge.ports import Publication
from bridge.settings import OperatorSettings, load_settings
from bridge.views.failed_events import attempts_in_words
from bridge.views.words import in_words, moment, unknown

STYLES = {"good": "bold green", "busy": "bold cyan", "warn": "bold yellow", "bad": "bold red", "quiet": "bold"}
"""By the tone of a place."""


@click.command()
@click.argument("event_id", type=click.UUID)
@click.option("--address", help="An address that was told, as order:42: saves looking through all seen marks.")
@click.option("--user", metavar="ID", help="Short for --address user:ID.")
@json_option
@click.pass_context
def trace(ctx: click.Context, event_id: UUID, address: str | None, user: str | None, as_json: bool) -> None:
    r"""Tell where one event is, and what happened to it.

    Lists every place that knows the event: published, in flight, waiting for a retry, a dead letter, skipped,
    discarded. An event that was emitted twice may be in several. Without --address all seen marks are looked
    through, which takes a few seconds where millions of events are remembered; with it, that address alone is looked
    at, and what everyone was told.

    \b
    Examples:
      sse-bridge trace 01a1fb9f-d28b-7f1d-8052-642667ab2557
      sse-bridge trace 01a1fb9f-d28b-7f1d-8052-642667ab2557 --user 0190f0a1-0000-7000-8000-000000000001
      sse-bridge trace 01a1fb9f-d28b-7f1d-8052-642667ab2557 --address order:42
      sse-bridge trace 01a1fb9f-d28b-7f1d-8052-642667ab2557 --json | jq '.places[].place'

    Exit codes: 0 found, 1 unknown or Redis does not answer, 2 wrong use or settings.
    """
    if address is not None and user is not None:
        raise click.UsageError("Give --address or --user, not both.")
    settings = load_settings(for_=OperatorSettings)
    told = of_user(user) if user is not None else address
    whose = address_in(told, load_registry(settings.registry)) if told is not None else None
    with open_named_store(settings) as store:
        places = Tracer(store).trace(event_id, whose)
    if as_json:
        print_json({"event_id": str(event_id), "places": [describe(place) for place in places]})
    else:
        _print(event_id, places, settings)
    if not places:
        ctx.exit(1)


def describe(place: Place) -> dict[str, Any]:
    """A place as JSON values."""
    match place:
        case Publication():
            return {
                "place": "published",
                "position": place.position,
                "at": moment(place.at_ms),
                "address": place.address,
                "user_id": place.user_id,
                "broadcast": place.is_broadcast,
                "in_stream": place.in_stream,
                "seen_key": place.seen_key,
            }
        case OnItsWay():
            return {
                "place": "open",
                "whereabouts": place.whereabouts.value,
                "message_id": place.message.message_id,
                "task": place.message.task,
                "queue": place.message.queue,
                "accepted_at": moment(place.message.accepted_ms),
            }
        case Waiting():
            return {
                "place": "waiting",
                "due_at": None if place.due_ms is None else moment(place.due_ms),
                "queue": place.record.queue if place.record else None,
                "addresses": place.record.addresses if place.record else None,
                "user_id": (user_of(place.record.addresses) or None) if place.record else None,
                "attempts": [_attempt(attempt) for attempt in place.record.attempts] if place.record else None,
            }
        case DeadLetter():
            return {
                "place": "dead",
                "letter_id": place.letter_id,
                "buried_at": place.buried_at,
                "stage": place.failure.stage.value,
                "error_class": place.failure.error_class,
                "message": place.failure.message,
                "addresses": place.addresses,
                "user_id": user_of(place.addresses) or None,
                "queue": place.queue,
                "worker": place.worker,
                "attempts": [_attempt(attempt) for attempt in place.attempts],
            }
        case SkippedEvent():
            return {"place": "skipped", "at": moment(place.at_ms)}
        case Tombstone():
            return {"place": "discarded", "at": place.at, "who": place.who, "reason": place.reason}
        case _:
            assert_never(place)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    failure = attempt.failure
    return {
        "number": attempt.number,
        "at": attempt.at,
        "stage": failure.stage.value,
        "error_class": failure.error_class,
        "message": failure.message,
    }


def _print(event_id: UUID, places: list[Place], settings: OperatorSettings) -> None:
    if not places:
        say(f"Event {event_id} is unknown.", bold=True)
        say(unknown(settings.seen_life_s))
        return
    out = console()
    for place in map(in_words, places):
        out.print(styled(f"[{STYLES[place.tone]}]{{}}[/] {{}}", place.name, place.words), soft_wrap=True)
        facts = [f"{name:<9} {plain(value)}" for name, value in place.facts if value]
        attempts = [f"{name} {plain(value)}" for name, value in attempts_in_words(place.attempts)]
        for line in (*facts, *attempts):
            out.print(f"  {line}", soft_wrap=True)
