"""Templates and how values look on a page; everything that comes from events and errors is escaped."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.pipeline import Stage
from bridge.operations import notes_of
from bridge.views.failed_events import types_in_words, users_in_words
from bridge.views.words import NONE, counted, due, event_class, numbers_in_words, span


def environment(clock: Callable[[], float]) -> Environment:
    """The templates. ``clock`` is Unix time, for "2 min ago"."""
    made = Environment(
        loader=PackageLoader("bridge.ops", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        notes=notes_of,
        span=span,
        moment=moment,
        ago=lambda at_ms: f"{span(max(0.0, clock() - at_ms / 1000))} ago",
        pretty=pretty,
        query=query,
        event_class=event_class,
        counted=counted,
        due=due,
        in_words=numbers_in_words,
        types=types_in_words,
        users=users_in_words,
        bars=bars,
    )
    made.globals["stages"] = [stage.value for stage in Stage]
    return made


def number(value: float | None) -> str:
    """``12,345``; a dash if there is none."""
    return NONE if value is None else f"{value:,.0f}"


def moment(at: int | str) -> str:
    """A time in ms or as RFC 3339, to the second, in UTC."""
    try:
        when = datetime.fromtimestamp(at / 1000, UTC) if isinstance(at, int) else datetime.fromisoformat(at)
    except (ValueError, OverflowError, OSError):
        return str(at)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def pretty(text: str) -> str:
    """JSON with line breaks; as it is if it is not one, or holds what no page can show (half a surrogate pair)."""
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        shown.encode()
    except PARSER_ERRORS:
        return text
    return shown


def query(fields: Iterable[tuple[str, str]]) -> str:
    """Fields as a query string."""
    return urlencode(list(fields))


def bars(values: Iterable[float], height: int) -> list[tuple[int, int]]:
    """For each value the top and the height of its bar, in a picture of that height."""
    known = list(values)
    most = max(known, default=0) or 1
    tall = [max(1 if value else 0, round(value / most * height)) for value in known]
    return [(height - each, each) for each in tall]
