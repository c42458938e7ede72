"""Filters as people give them, by options or fields of a form: read into a Selection, and written again."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bridge.model.errors import SettingsError
from bridge.operations.selection import FOR_EVER_MS, Selection, parse_time
from bridge.redis_adapter import Cursor
from bridge.views.words import moment

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


class Filter(NamedTuple):
    """One filter with one value, ready for an address or a hidden input."""

    name: str
    value: str


def read_filters(lists: Mapping[str, Iterable[str]], *, since: str, until: str, text: str, now_ms: int) -> Selection:
    """A selection that is not yet resolved against a registry.

    Args:
        lists: values by the names of LISTS.
        since: a time, or ``2h`` for so long ago; empty for no bound.
        until: the same.
        text: must occur; empty for no such filter.
        now_ms: to which ``2h`` refers.

    Raises:
        SettingsError: a time is none.
    """
    return Selection(
        since_ms=parse_time(since, now_ms) if since else 0,
        until_ms=parse_time(until, now_ms) if until else FOR_EVER_MS,
        text=text,
        **{LISTS[name]: tuple(values) for name, values in lists.items()},
    )


def write_filters(selection: Selection) -> list[Filter]:
    """What reads as the same selection again, with times that do not move."""
    filters = [Filter(name, value) for name, attribute in LISTS.items() for value in getattr(selection, attribute)]
    if selection.since_ms:
        filters.append(Filter("since", moment(selection.since_ms)))
    if selection.until_ms != FOR_EVER_MS:
        filters.append(Filter("until", moment(selection.until_ms)))
    if selection.text:
        filters.append(Filter("text", selection.text))
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
