"""What a client must have been shown: each event addressed to it once and in order, or a reset in between. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.model.position import Position
from bridge.model.registry import Address
from tests.support.event_source import Entry, EventSource


@dataclass(eq=False, kw_only=True, slots=True)
class Publication:
    """One event on its way.

    Attributes:
        event_id: its id.
        told: its addresses.
        category: by which clients filter.
        begun: how many were handed to the publisher before it.
        position: where it was published; None while that is not certain.
    """

    event_id: str
    told: tuple[Address, ...]
    category: str
    begun: int
    position: Position | None = None

    def is_for(self, source: EventSource) -> bool:
        """Whether a client should see it."""
        wanted = not source.categories or self.category in source.categories
        return wanted and not source.hears.isdisjoint(self.told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What a client was shown, compared with what was addressed to it.

    Attributes:
        faults: each broken promise in words; none when all were kept.
        events: how many it was shown.
        resets: how many times it was told that events may be missing.
        idle_resets: resets around which nothing was missing after all.
    """

    faults: tuple[str, ...]
    events: int
    resets: int
    idle_resets: int

    @property
    def shown_wrongly(self) -> bool:
        """Whether there is a fault that nothing mends that may still come."""
        return any(fault.startswith("shown") for fault in self.faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stretch:
    """What was shown between two resets: places in the order of what was addressed to the client."""

    places: tuple[int, ...]
    since: int


def account(source: EventSource, publications: Sequence[Publication]) -> Account:
    """Judge one client, when every publication is certain."""
    order = sorted((p for p in publications if p.is_for(source) and p.position), key=lambda p: p.position or 0)
    places = {publication.event_id: place for place, publication in enumerate(order)}
    seen = [shown.event_id for shown in source.shown if shown.event_id]
    strange = [event_id for event_id in seen if event_id not in places]
    entry = source.entry
    if strange or entry is None:
        faults = (f"shown, but not addressed to it: {strange}",) if strange else ()
        return Account(faults=faults, events=len(seen), resets=0, idle_resets=0)
    stretches = _stretches(source, places, entry)
    faults = tuple(_faults(stretches, order, entry))
    resets = len(stretches) - 1
    idle = sum(_follows_on(stretches, number) for number in range(1, len(stretches)))
    return Account(faults=faults, events=len(seen), resets=resets, idle_resets=idle)


def _stretches(source: EventSource, places: dict[str, int], entry: Entry) -> list[_Stretch]:
    stretches: list[_Stretch] = []
    since, found = entry.latest, []
    for shown in source.shown:
        if shown.event_id:
            found.append(places[shown.event_id])
        else:
            stretches.append(_Stretch(places=tuple(found), since=since))
            since, found = shown.published, []
    return [*stretches, _Stretch(places=tuple(found), since=since)]


def _faults(stretches: list[_Stretch], order: list[Publication], entry: Entry) -> list[str]:
    faults: list[str] = []
    everything = [place for stretch in stretches for place in stretch.places]
    if len(set(everything)) < len(everything):
        faults.append("shown twice")
    elif everything != sorted(everything):
        faults.append("shown out of order")
    for number, stretch in enumerate(stretches):
        missing = _promised(stretches, number, order).difference(stretch.places)
        if missing:
            faults.append(f"missing after {number} resets: events {sorted(order[place].begun for place in missing)}")
    first = stretches[0].places
    if first and order[first[0]].begun < entry.earliest:
        faults.append("shown, but published before it came")
    return faults


def _promised(stretches: list[_Stretch], number: int, order: list[Publication]) -> set[int]:
    """The places that must be in a stretch: all that were published since it began, until its last or until the end.

    A reset says that of what was published before it, not everything is retained; the streams of a client
    are trimmed apart, so what follows may have holes, until what was published later.
    """
    stretch = stretches[number]
    is_last = number == len(stretches) - 1
    end = len(order) if is_last else max(stretch.places, default=-1) + 1
    promised = {place for place in range(end) if order[place].begun >= stretch.since}
    if number == 0 and stretch.places:
        promised.update(range(stretch.places[0], end))
    return promised


def _follows_on(stretches: list[_Stretch], number: int) -> bool:
    """Whether nothing was missing at a reset."""
    before = [place for stretch in stretches[:number] for place in stretch.places]
    after = [place for stretch in stretches[number:] for place in stretch.places]
    return bool(before and after) and after[0] == before[-1] + 1
