"""By what clients choose their events: a row each, which requests, deliveries and ``sse-bridge tail`` go by."""

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from bridge.gateway.refusal import RequestRefusedError
from bridge.model.event_log import StreamedEvent
from bridge.model.registry import Registry

ECHO_MAX = 5
"""Unknown values that a refusal repeats at most."""
ECHO_LENGTH_MAX = 100
"""Characters of each."""

Wanted = Sequence[tuple[int, frozenset[str]]]
"""Place of a filter in the table → the values that are asked for; without the filters of which all are."""


class Filter(NamedTuple):
    """One query parameter; its values come comma-separated, repeated, or both."""

    name: str
    known: Callable[[Registry], Sequence[str]]  # the values that there are
    value_in: Callable[[Registry], Callable[[StreamedEvent], str | None]]  # finds an event's value; None has none
    meant_by: Sequence[str]  # what people write instead, in small letters: ignored, they would get everything


def _category_in(registry: Registry) -> Callable[[StreamedEvent], str | None]:
    category_of = {meta.event_type.value: meta.category.value for meta in registry.events}
    return lambda event: category_of.get(event.event_type)


_LIKE_CATEGORIES = (
    "cat cats category channel channels event events eventtype eventtypes type types filter filters topic topics"
)
FILTERS = (Filter("categories", lambda registry: list(registry.categories), _category_in, _LIKE_CATEGORIES.split()),)


def wanted(values_of: Callable[[str], Iterable[str]], registry: Registry) -> Wanted:
    """What is asked for, by the values that each parameter has.

    Raises:
        RequestRefusedError: 422, a filter has no such value.
    """
    chosen = [_chosen(one, values_of(one.name), one.known(registry)) for one in FILTERS]
    return [(place, values) for place, values in enumerate(chosen) if values]


def _chosen(one: Filter, given: Iterable[str], known: Sequence[str]) -> frozenset[str]:
    asked = {name.strip() for value in given for name in value.split(",")} - {""}
    if unknown := sorted(asked.difference(known)):
        shown = [name[:ECHO_LENGTH_MAX] for name in unknown[:ECHO_MAX]]
        raise RequestRefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"There is no {', '.join(shown)} among the {one.name}: those are {', '.join(known)}.",
            members={"unknown": shown, "known": known},
        )
    return frozenset(asked)
