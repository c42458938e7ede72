"""The overview and its parts that live on, the log of operations, and the search for one event."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from bridge.model.errors import SettingsError
from bridge.model.plain_text import echoed
from bridge.operations import Tracer, address_in, of_user
from bridge.ops.page_context import PageContext, PageRequest
from bridge.views.words import Place, in_words, unknown

GROUPS_SHOWN = 10
REDRIVES_SHOWN = 5
LOG_SHOWN = 200
PARTS = ("health", "faults", "figures", "queues", "workers", "groups", "redrives")
"""Parts of the overview; each has a block of its name in an element with the id ``live-<name>``."""


def overview(context: PageContext, request: PageRequest) -> Response:
    """The bridge at one glance."""
    return context.page(request, "overview.html", title="Overview", **_shown(context))


def parts(context: PageContext, request: PageRequest) -> dict[str, str]:
    """The overview's parts as HTML, by name; sent to browsers that look at it."""
    values = _shown(context)
    return {name: context.fragment(request, "overview.html", name, **values) for name in PARTS}


def _shown(context: PageContext) -> dict[str, Any]:
    figures = context.overview.figures()
    redrives = () if figures.status is None else context.redrives.newest(REDRIVES_SHOWN)
    return {"figures": figures, "redrives": redrives, "groups": figures.groups[:GROUPS_SHOWN]}


def operations_log(context: PageContext, request: PageRequest) -> Response:
    """Who did what, newest first."""
    entries = context.store.log.newest(LOG_SHOWN)
    return context.page(request, "log.html", title="Log of operations", rows=entries)


def trace_event(context: PageContext, request: PageRequest) -> Response:
    """Where one event is; without one, the form alone."""
    given = request.query.get("event", "").strip()
    places: list[Place] | None = None
    if given:
        user, address = (request.query.get(name, "").strip() for name in ("user", "address"))
        told = address or (of_user(user) if user else "")
        whose = address_in(told, context.registry) if told else None
        found = Tracer(context.store).trace(_event_id(given), whose)
        places = [in_words(place) for place in found]
    return context.page(
        request,
        "trace.html",
        title="Trace an event",
        places=places,
        given=given,
        trace_of=given,
        unknown=unknown(context.settings.seen_life_s),
    )


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SettingsError(f"{echoed(text)} is no event id: those are UUIDs.") from None
