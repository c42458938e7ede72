"""The overview and its parts that live on, the log of operations, and the search for one event."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from bridge.model.errors import SettingsError
from bridge.model.plain_text import echoed
from bridge.operations import log, trace
from bridge.ops.ask import Ask
from bridge.ops.board import Figures
from bridge.ops.desk import Desk
from bridge.views.trace import Place, in_words, unknown

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
    return desk.page(ask, "log.html", title="Log of operations", rows=entries)


def trace_event(desk: Desk, ask: Ask) -> Response:
    """Where one event is; without one, the form alone."""
    given = ask.query.get("event", "").strip()
    places: list[Place] | None = None
    if given:
        user = ask.query.get("user", "").strip()
        found = trace.Tracer(desk.client, desk.settings).trace(
            _uuid(given, "event"), _uuid(user, "user") if user else None
        )
        places = [in_words(place) for place in found]
    return desk.page(
        ask,
        "trace.html",
        title="Trace an event",
        places=places,
        given=given,
        trace_of=given,
        unknown=unknown(desk.settings.seen_life_s),
    )


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SettingsError(f"{echoed(text)} is no {what} id: those are UUIDs.") from None
