"""Filters as fields of a form or an address: read into a Selection, and written again. Pure."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from starlette.datastructures import QueryParams

from bridge.model.errors import SettingsError
from bridge.model.plain_text import echoed
from bridge.model.registry import Registry
from bridge.operations.selection import FOR_EVER_MS, Selection, parse_time
from bridge.redis_adapter import Cursor

TEXT_IS_MASKED = "Contents are masked here, so letters cannot be searched for what is in them."
_LISTS = {
    "type": "types",
    "category": "categories",
    "user": "users",
    "error": "error_classes",
    "stage": "stages",
    "group": "groups",
    "id": "ids",
}
VALUES_MAX = 100


class Field(NamedTuple):
    """One field, ready for an address or a hidden input."""

    name: str
    value: str


def read_selection(fields: QueryParams, registry: Registry, *, now_ms: int, payloads: bool) -> Selection:
    """The filters that a form or an address names.

    Args:
        fields: of the form or the address.
        registry: that types and categories must fit.
        now_ms: to which ``2h`` refers.
        payloads: whether the asker may see contents; without that no text is searched, because whoever may
            ask "does it occur?" often enough reads what is masked.

    Raises:
        SettingsError: a filter is none.
    """
    text = fields.get("text", "").strip()
    if text and not payloads:
        raise SettingsError(TEXT_IS_MASKED)
    lists = {attribute: _values(fields, name) for name, attribute in _LISTS.items()}
    for user in lists["users"]:
        _check_uuid(user)
    since, until = fields.get("since", "").strip(), fields.get("until", "").strip()
    return Selection(
        since_ms=parse_time(since, now_ms) if since else 0,
        until_ms=parse_time(until, now_ms) if until else FOR_EVER_MS,
        text=text,
        **lists,
    ).resolved(registry)


def write_selection(selection: Selection) -> list[Field]:
    """The fields that ``read_selection`` reads the same filters from, with times that do not move."""
    fields = [Field(name, value) for name, attribute in _LISTS.items() for value in getattr(selection, attribute)]
    if selection.since_ms:
        fields.append(Field("since", _exact_time(selection.since_ms)))
    if selection.until_ms != FOR_EVER_MS:
        fields.append(Field("until", _exact_time(selection.until_ms)))
    if selection.text:
        fields.append(Field("text", selection.text))
    return fields


def in_words(selection: Selection) -> str:
    """The filters as people read them."""
    return ", ".join(f"{name} {value}" for name, value in write_selection(selection)) or "everything"


def given_filters(fields: QueryParams) -> list[Field]:
    """The filters of an address as they were typed."""
    known = (*_LISTS, "since", "until", "text")
    return [Field(name, value) for name, value in fields.multi_items() if name in known and value.strip()]


def read_cursor(fields: QueryParams) -> Cursor | None:
    """Where a page of a list begins.

    Raises:
        SettingsError: it is no cursor.
    """
    given = fields.get("after", "")
    try:
        cursor = Cursor.parse(given) if given else None
    except ValueError:
        cursor = Cursor(at_ms=math.nan, letter_id="")
    if cursor is not None and not math.isfinite(cursor.at_ms):
        raise SettingsError("This address names no place in the list: begin at its first page.")
    return cursor


def read_number(fields: QueryParams, name: str, words: str, *, low: float, high: float) -> float | None:
    """A number; None if the field is empty.

    Raises:
        SettingsError: it is no number between both bounds.
    """
    given = fields.get(name, "").strip().removesuffix("%").strip()
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise SettingsError(f"{words} must be a number between {low:g} and {high:g}.")
    return number


def read_reason(fields: QueryParams) -> str:
    """Why something is done.

    Raises:
        SettingsError: nothing was said.
    """
    reason = fields.get("reason", "").strip()
    if not reason:
        raise SettingsError("Say why: the reason is kept in the log of operations.")
    return reason


def _values(fields: QueryParams, name: str) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(_split(fields.getlist(name))))
    if len(values) > VALUES_MAX:
        raise SettingsError(f"At most {VALUES_MAX} values of {name} can be given at once.")
    return values


def _split(given: Iterable[str]) -> Iterable[str]:
    for text in given:
        yield from text.replace(",", " ").split()


def _check_uuid(text: str) -> None:
    try:
        UUID(text)
    except ValueError:
        raise SettingsError(f"{echoed(text)} is no user id: those are UUIDs.") from None


def _exact_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
