"""The overview and its parts that live on, the log of operations, and the search for one event."""

from typing import Any, assert_never
from uuid import UUID

import msgspec
from starlette.responses import Response

from bridge.model.errors import SettingsError
from bridge.model.plain_text import echoed
from bridge.operations import log, trace
from bridge.ops.ask import Ask
from bridge.ops.board import Figures
from bridge.ops.desk import Desk
from bridge.ops.rendering import described

GROUPS_SHOWN = 10
REPLAYS_SHOWN = 5
LOG_SHOWN = 200
PARTS = ("health", "faults", "figures", "queues", "workers", "groups", "replays")
"""Parts of the overview; each has a template of its name and an element with the id ``live-<name>``."""


def overview(desk: Desk, ask: Ask) -> Response:
    """The bridge at one glance."""
    return desk.page(ask, "overview.html", title="Overview", parts=parts(desk, ask))


def parts(desk: Desk, ask: Ask) -> dict[str, str]:
    """The overview's parts as HTML, by name; also sent to browsers that look at it."""
    figures = desk.board.figures()
    values = {"figures": figures, "replays": _replays(desk, figures), "groups": figures.groups[:GROUPS_SHOWN]}
    return {name: desk.fragment(ask, f"part_{name}.html", **values) for name in PARTS}


def _replays(desk: Desk, figures: Figures) -> Any:
    return [] if figures.status is None else desk.replays.newest(REPLAYS_SHOWN)


def operations_log(desk: Desk, ask: Ask) -> Response:
    """Who did what, newest first."""
    entries = log.read(desk.client, LOG_SHOWN)
    rows = [(entry, described(entry.numbers)) for entry in entries]
    return desk.page(ask, "log.html", title="Log of operations", rows=rows)


def trace_event(desk: Desk, ask: Ask) -> Response:
    """Where one event is; without one, the form alone."""
    given = ask.query.get("event", "").strip()
    places: list[dict[str, Any]] | None = None
    if given:
        user = ask.query.get("user", "").strip()
        found = trace.Tracer(desk.client, desk.settings).trace(
            _uuid(given, "event"), _uuid(user, "user") if user else None
        )
        places = [describe(place) for place in found]
    return desk.page(ask, "trace.html", title="Trace an event", places=places, given=given, trace_of=given)


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SettingsError(f"{echoed(text)} is no {what} id: those are UUIDs.") from None


def describe(place: trace.Place) -> dict[str, Any]:
    """A place as the template knows it: ``state``, ``words`` and ``facts``; of a letter also ``letter_id``."""
    match place:
        case trace.Published():
            whom = "everybody" if place.user_id is None else f"user {place.user_id}"
            kept = "still in the stream" if place.in_stream else "no longer in the stream"
            return _place("good", "published", f"to {whom}", at=place.at_ms, position=f"{place.position}, {kept}")
        case trace.OnItsWay():
            return _place(
                "busy", "on its way", place.whereabouts.value, at=place.accepted_ms, message=place.message_id,
                task=place.task, queue=place.queue,
            )  # fmt: skip
        case trace.Waiting():
            attempts = msgspec.to_builtins(place.record.attempts) if place.record else []
            return {**_place("warn", "waiting", "for its next attempt", at=place.due_ms), "attempts": attempts}
        case trace.Buried():
            letter = place.letter
            words = f"at stage {letter.failure.stage.value}"
            attempts = msgspec.to_builtins(letter.attempts)
            return {
                **_place("bad", "dead letter", words, at=letter.buried_at, queue=letter.queue),
                "letter_id": letter.letter_id,
                "attempts": attempts,
            }
        case trace.SkippedEvent():
            return _place("quiet", "skipped", "it had nobody to tell", at=place.at_ms)
        case trace.Discarded():
            return _place("quiet", "discarded", f"by {place.who}: {place.reason}", at=place.at)
        case _:
            assert_never(place)


def _place(state: str, name: str, words: str, **facts: Any) -> dict[str, Any]:
    known = {name: value for name, value in facts.items() if value is not None}
    return {"state": state, "name": name, "words": words, "facts": known, "attempts": [], "letter_id": ""}
