"""Filters as people give them, by options or fields of a form: read into a Selection, and written again."""

import math
from collections.abc import Iterable, Mapping

from bridge.model.dead_letter import Cursor
from bridge.model.errors import SettingsError
from bridge.operations import FOREVER_MS, Selection, parse_time
from bridge.views.words import Named, moment

LISTS = {
    "type": "types",
    "category": "categories",
    "user": "users",
    "error": "error_classes",
    "stage": "stages",
    "group": "groups",
    "id": "ids",
}
"""Names of filters that take several values, and the attributes of a Selection that hold them."""
NAMES = (*LISTS, "since", "until", "text")


def read_filters(lists: Mapping[str, Iterable[str]], *, since: str, until: str, text: str, now_ms: int) -> Selection:
    """A selection, not yet resolved against a registry; an empty text is no filter, and ``2h`` refers to ``now_ms``.

    Raises:
        SettingsError: a time is none.
    """
    return Selection(
        since_ms=parse_time(since, now_ms) if since else 0,
        until_ms=parse_time(until, now_ms) if until else FOREVER_MS,
        text=text,
        **{LISTS[name]: tuple(values) for name, values in lists.items()},
    )


def write_filters(selection: Selection) -> list[Named]:
    """What reads as the same selection again, with times that do not move."""
    filters = [Named(name, value) for name, attribute in LISTS.items() for value in getattr(selection, attribute)]
    if selection.since_ms:
        filters.append(Named("since", moment(selection.since_ms)))
    if selection.until_ms != FOREVER_MS:
        filters.append(Named("until", moment(selection.until_ms)))
    if selection.text:
        filters.append(Named("text", selection.text))
    return filters


def read_cursor(text: str, refusal: str) -> Cursor | None:
    """Where a page of a list begins; None at its beginning.

    Raises:
        SettingsError: the text is no cursor; says the refusal.
    """
    try:
        cursor = Cursor.parse(text) if text else None
    except ValueError:
        raise SettingsError(refusal) from None
    if cursor is not None and not math.isfinite(cursor.at_ms):
        raise SettingsError(refusal)
    return cursor
