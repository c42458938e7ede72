"""What a page is asked: by which client, and what the fields of its form or address say, read strictly. Pure."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.responses import Response

from bridge.model.bounds import FILTER_VALUES_MAX
from bridge.model.dead_letter import Cursor
from bridge.model.errors import SettingsError
from bridge.model.registry import Registry
from bridge.operations import Selection
from bridge.ops.sessions import Role, Session
from bridge.views.failed_events import LISTS, NAMES, read_cursor, read_filters
from bridge.views.words import Named

if TYPE_CHECKING:
    from bridge.ops.page_context import PageContext


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """One request for a page, after every check."""

    session: Session  # the operator's session
    base: str  # what stands before every path; empty unless the application is mounted
    form_token: str  # to be put into every form
    path: dict[str, str]  # what the path names, such as ``letter_id``
    query: QueryParams  # behind the question mark
    form: QueryParams  # fields of a POST; empty otherwise
    payloads: bool  # whether the contents of events may be shown to them

    @property
    def may_act(self) -> bool:
        """Whether they may do more than look."""
        return self.session.role is Role.OPERATOR


Handler = Callable[["PageContext", PageRequest], Response]
"""Makes a page, or acts and says where to go on. Runs on a thread: Redis may let it wait."""


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table of pages."""

    method: str  # GET shows, POST acts
    path: str  # below the application
    handler: Handler  # makes the answer
    role: Role = Role.VIEWER  # the least role that may


TEXT_IS_MASKED = "Contents are masked here, so letters cannot be searched for what is in them."


def read_selection(
    fields: QueryParams, registry: Registry, older: Collection[str] = (), *, now_ms: int, payloads: bool
) -> Selection:
    """The filters that a form or an address names.

    Args:
        fields: of the form or the address.
        registry: that types and categories must fit.
        older: categories that are known beside the registry's.
        now_ms: to which ``2h`` refers.
        payloads: whether the asker may see contents; without that no text is searched, because a viewer who may
            ask "does it occur?" often enough reads what is masked.

    Raises:
        SettingsError: a filter is none.
    """
    text = fields.get("text", "").strip()
    if text and not payloads:
        raise SettingsError(TEXT_IS_MASKED)
    lists = {name: _values(fields, name, registry) for name in LISTS}
    since, until = fields.get("since", "").strip(), fields.get("until", "").strip()
    return read_filters(lists, since=since, until=until, text=text, now_ms=now_ms).resolved(
        registry, also_categories=older
    )


def given_filters(fields: QueryParams) -> list[Named]:
    """The filters of an address as they were typed."""
    return [Named(name, value) for name, value in fields.multi_items() if name in NAMES and value.strip()]


def read_after(fields: QueryParams) -> Cursor | None:
    """Where a page of a list begins.

    Raises:
        SettingsError: it is no cursor.
    """
    return read_cursor(fields.get("after", ""), "This address names no place in the list: begin at its first page.")


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


def _values(fields: QueryParams, name: str, registry: Registry) -> tuple[str, ...]:
    given = fields.getlist(name)
    if name != "user" or registry.users.kind is not str:  # a text that is an id may hold commas
        given = [text.replace(",", " ") for text in given]
    values = tuple(dict.fromkeys(value for text in given for value in text.split()))
    if len(values) > FILTER_VALUES_MAX:
        raise SettingsError(f"At most {FILTER_VALUES_MAX} values of {name} can be given at once.")
    return values
