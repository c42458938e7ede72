"""What a page is asked and made with: its request and fields, read strictly; operations, templates and their filters.

Everything that comes from events and errors is escaped.
"""

import json
import math
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bridge.model.bounds import FILTER_VALUES_MAX, PARSER_ERRORS
from bridge.model.dead_letter import Cursor
from bridge.model.errors import SettingsError
from bridge.model.pipeline import Stage
from bridge.model.registry import Registry
from bridge.operations import FOREVER_MS, Letters, Redrives, Retries, Selection, found_categories, notes_of, of_user
from bridge.ops.page_state import OverviewCache, RunningRedrives
from bridge.ops.sessions import Role, Session
from bridge.ports import Store
from bridge.settings import OpsSettings
from bridge.views.failed_events import (
    LISTS,
    NAMES,
    USER,
    hits_in_words,
    read_cursor,
    read_filters,
    types_in_words,
    write_filters,
)
from bridge.views.words import NONE, Named, addresses_in_words, counted, due, event_class, numbers_in_words, span
from bridge.wiring import open_store


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
    lists = {name: _values(fields, name, registry) for name in (*LISTS, USER)}
    since, until = fields.get("since", "").strip(), fields.get("until", "").strip()
    return read_filters(lists, since=since, until=until, text=text, now_ms=now_ms).resolved(
        registry, also_categories=older
    )


def given_filters(fields: QueryParams) -> list[Named]:
    """The filters in the address of a page as they were typed; a user as the address that it is short for."""
    given = [Named(name, value) for name, value in fields.multi_items() if name in NAMES and value.strip()]
    return [Named("address", of_user(one.value)) if one.name == USER else one for one in given]


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
    texts = registry.users.kind is str or any(topic.kind is str for topic in registry.topics)
    if name not in ("user", "address") or not texts:  # a text that is an id may hold commas
        given = [text.replace(",", " ") for text in given]
    values = tuple(dict.fromkeys(value for text in given for value in text.split()))
    if len(values) > FILTER_VALUES_MAX:
        raise SettingsError(f"At most {FILTER_VALUES_MAX} values of {name} can be given at once.")
    return values


LISTED = 50
"""Letters, retries or redrives on a page of a list."""
NOTES = {
    "discarded": "Discarded: {0}. Left alone, because a redrive has sent them: {1}.",
    "due": "Due now: {0}. Left alone, because they are being tried: {1}.",
    "buried": "Buried as dead letters: {0}. Left alone, because they are being tried: {1}.",
    "stopping": "The redrive was asked to stop.",
    "resumed": "The redrive goes on.",
}
"""What a page says after an act; an address can only choose among these and fill in numbers."""
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """Everything at hand. Its parts are used from several threads."""

    settings: OpsSettings
    registry: Registry
    store: Store
    letters: Letters
    retries: Retries
    redrives: Redrives
    jobs: RunningRedrives
    overview: OverviewCache
    templates: Environment

    @classmethod
    def of(cls, settings: OpsSettings, registry: Registry) -> "PageContext":
        """A context for these settings. Opens no connection before its first use."""
        store = open_store(settings, insists=False)  # a person waits for each page
        return cls(
            settings=settings,
            registry=registry,
            store=store,
            letters=Letters(store),
            retries=Retries(store),
            redrives=Redrives(store, settings, registry),
            jobs=RunningRedrives(settings, registry),
            overview=OverviewCache(settings, registry, store),
            templates=environment(),
        )

    def close(self) -> None:
        """Pause the redrives that run here, and drop the connections."""
        self.jobs.end()
        self.overview.close()
        self.store.close()

    def selection(self, request: PageRequest, *, of_form: bool = False) -> Selection:
        """The filters that were given.

        Raises:
            SettingsError: one is invalid.
        """
        fields = request.form if of_form else request.query
        older = found_categories(self.store) if fields.get("category") else frozenset()
        return read_selection(fields, self.registry, older, now_ms=now_ms(), payloads=request.payloads)

    # Answers

    def page(
        self, request: PageRequest, template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any
    ) -> Response:
        """A page for a signed-in operator."""
        values = {"trace_of": "", "filters": given_filters(request.query), **values}
        shown = self.templates.get_template(template).render(
            request=request, base=request.base, note=_note(request), registry=self.registry, **values
        )
        return HTMLResponse(shown, status)

    def listing(self, request: PageRequest, template: str, selection: Selection, **values: Any) -> Response:
        """A page of a list: what is listed, in words and as fields, beside what else its template wants."""
        # The registry's categories first, then older catalogs'.
        ours = [category.value for category in self.registry.categories]
        values["categories"] = list(dict.fromkeys([*ours, *sorted(found_categories(self.store))]))
        return self.page(request, template, selection=str(selection), fixed=write_filters(selection), **values)

    def gone(self, request: PageRequest, message: str) -> Response:
        """A page that says that something is not there."""
        return self.page(request, "refused.html", status=HTTPStatus.NOT_FOUND, title="Not here", message=message)

    def fragment(self, request: PageRequest, template: str, block: str, **values: Any) -> str:
        """A part of a page: one block of its template."""
        made = self.templates.get_template(template)
        values |= {"request": request, "base": request.base}
        values["ui"] = self.templates.get_template("macros.html").make_module(values)
        return "".join(made.blocks[block](made.new_context(values)))

    def login(self, base: str, there: str, message: str, status: HTTPStatus) -> Response:
        """The form for the token."""
        template = self.templates.get_template("login.html")
        return HTMLResponse(template.render(base=base, there=there, message=message), status)

    def refusal(self, base: str, status: HTTPStatus, message: str) -> Response:
        """A page for a client that is not signed in."""
        template = self.templates.get_template("outside.html")
        return HTMLResponse(template.render(base=base, title=status.phrase, message=message), status)

    def go_on(self, request: PageRequest, path: str, note: str = "", *numbers: int) -> Response:
        """To where the outcome of an act is seen, with one of NOTES."""
        fields = "?" + urlencode([("note", note), *(("n", str(number)) for number in numbers)]) if note else ""
        return RedirectResponse(request.base + path + fields, HTTPStatus.SEE_OTHER)


def up_to_now(selection: Selection) -> Selection:
    """The same without what comes later, so that no operator acts on what was not there when they looked."""
    if selection.until_ms != FOREVER_MS:
        return selection
    return msgspec.structs.replace(selection, until_ms=now_ms())


def now_ms() -> int:
    """By this machine's clock; for filters such as ``2h``."""
    return int(time.time() * 1000)


def _note(request: PageRequest) -> str:
    sentence = NOTES.get(request.query.get("note", ""), "")
    numbers = [f"{int(text):,}" for text in request.query.getlist("n")[:2] if _NUMBER.fullmatch(text)]
    return sentence.format(*numbers, *("some", "some")) if sentence else ""


def environment() -> Environment:
    """The templates, with the filters by which values get their looks."""
    made = Environment(
        loader=PackageLoader(f"{__package__}", "templates"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        notes=notes_of,
        span=span,
        moment=moment,
        ago=lambda at_ms: f"{span(max(0.0, time.time() - at_ms / 1000))} ago",
        pretty=pretty,
        query=urlencode,
        event_class=event_class,
        counted=counted,
        due=due,
        in_words=numbers_in_words,
        types=types_in_words,
        hits=hits_in_words,
        addresses=addresses_in_words,
        bars=bars,
    )
    made.globals["stages"] = [stage.value for stage in Stage]
    return made


_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that turn the text behind them around, and halves of surrogate pairs."""


def visible(value: object) -> object:
    """Text with what no page shows, or shows as something else, as Python escapes it."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), value)


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


def bars(values: Iterable[float], height: int) -> list[tuple[int, int]]:
    """For each value the top and the height of its bar, in a picture of that height."""
    known = list(values)
    most = max(known, default=0) or 1
    tall = [max(1 if value else 0, round(value / most * height)) for value in known]
    return [(height - each, each) for each in tall]
