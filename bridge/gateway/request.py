"""What a client asks for, read from its request; and events made ready, so that each can choose among them. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from bridge.gateway.refusal import RequestRefusedError
from bridge.model.bounds import PARAM_CHARS_MAX, TOPICS_MAX
from bridge.model.counting import Counters
from bridge.model.errors import AddressError
from bridge.model.events.sse_event import StreamedEvent, read_message
from bridge.model.position import START, Position
from bridge.model.registry import Registry, TopicAddress
from bridge.model.registry.metadata import is_wire_name

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


_LIKE_CATEGORIES = "cat cats category event events eventtype eventtypes type types filter filters"
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


TOPICS = "topics"
_LIKE_TOPICS = "topic channel channels room rooms group groups subscribe subscription subscriptions address addresses"


class UnknownTopicError(RequestRefusedError):
    """The request asks for topics that there are not, or for too many."""

    def __init__(self, sentence: str, registry: Registry, unknown: str = "") -> None:
        members: dict[str, object] = {"known": [f"{topic.name}:<{topic.kind.__name__}>" for topic in registry.topics]}
        if unknown:
            members["unknown"] = [unknown[:ECHO_LENGTH_MAX]]
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, f"In {TOPICS}, {sentence}", members=members)


def topics_in(values: Iterable[str], registry: Registry) -> tuple[TopicAddress, ...]:
    """The topics that the values of the parameter ask for, each once, in order; not yet whether it may be heard.

    Raises:
        UnknownTopicError: 422, there is no such topic, a key is none of its kind, or they are more than TOPICS_MAX.
    """
    texts = [text.strip() for value in values for text in _split(value, registry)]
    topics = tuple(dict.fromkeys(_topic(text, registry) for text in texts if text))
    if len(topics) > TOPICS_MAX:
        raise UnknownTopicError(f"there can be {TOPICS_MAX} for one stream at most, not {len(topics)}.", registry)
    return topics


def _split(value: str, registry: Registry) -> Iterator[str]:
    """A comma ends an address, but of a topic whose keys are texts, which may hold commas: that is the rest."""
    with_texts = {topic.name for topic in registry.topics if topic.kind is str}
    while value:
        if value.partition(":")[0].strip() in with_texts:
            yield value
            return
        address, _, value = value.partition(",")
        yield address


def _topic(text: str, registry: Registry) -> TopicAddress:
    try:
        address = registry.addresses.parse(text)
    except AddressError as error:
        raise UnknownTopicError(str(error), registry, text) from None
    if not isinstance(address, TopicAddress):
        sentence = "there are only topics: what is for its user or for everyone, each stream has by itself."
        raise UnknownTopicError(sentence, registry, text)
    if any(f",{topic.name}:" in text for topic in registry.topics):
        sentence = f"keys of {address.name} are texts and may hold commas: write {TOPICS}= once for each topic."
        raise UnknownTopicError(sentence, registry, text)
    return address


class EncodedEvent(msgspec.Struct, frozen=True):
    """One event on its way to clients."""

    position: Position
    values: Sequence[str | None]  # what each of the FILTERS goes by
    frame: bytes  # the wire text


class EventEncoder:
    """Encodes published events as frames, and counts what is malformed or unknown to the registry."""

    def __init__(self, registry: Registry, counters: Counters) -> None:
        self._types = frozenset(meta.event_type.value for meta in registry.events)
        self._values = [one.value_in(registry) for one in FILTERS]
        self._counters = counters

    def prepare(self, event: StreamedEvent) -> EncodedEvent | None:
        """The event with its frame; None if its type could not be a type of any registry."""
        if event.event_type not in self._types and not is_wire_name(event.event_type):
            self._counters.events_unknown += 1
            return None
        return EncodedEvent(event.position, [value(event) for value in self._values], event.to_sse_format().encode())

    def read(self, message: bytes) -> EncodedEvent | None:
        """The event of a pub/sub message, with its frame; None if it is not one of ours, or as in ``prepare``."""
        try:
            event = read_message(message)
        except ValueError:
            self._counters.messages_malformed += 1
            return None
        return self.prepare(event)


RESUME_HEADER = "Last-Event-ID"
LAST_EVENT_ID = "last_event_id"
RESUMES = frozenset({"lasteventid", "evslasteventid"})
"""Query parameters that say where a client stopped, without case, hyphens and underscores: clients that cannot send the
header write ``lastEventId``, ``Last-Event-ID`` or ``last_event_id``, and each takes its own for granted."""
OTHER_PLACES = frozenset({"after", "cursor", "since"})
"""What people write when they mean where they stopped: ignored, they would miss what came since."""
NEAR = 0.7
"""Likeness (0 to 1) from which a parameter counts as one of ours, mistyped."""
_OURS = {**{one.name: one.meant_by for one in FILTERS}, TOPICS: _LIKE_TOPICS.split()}
NAMES_KEPT = 256
"""Names of parameters of which it is remembered what was meant."""
POSITION_LIMIT = Position(f"{2**64 - 1}-{2**64 - 1}")
"""Redis reads nothing after this."""


class Query(Protocol):
    """Query parameters, of which each may come more than once."""

    def getlist(self, key: str) -> list[str]:
        """Every value of a parameter."""
        ...

    def multi_items(self) -> list[tuple[str, str]]:
        """Every parameter and value, in order."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRequest:
    """What a client asks for."""

    wanted: Wanted = ()
    topics: tuple[TopicAddress, ...] = ()  # what is heard beside its user's events and everyone's
    resumes: bool = False  # whether the client had a stream before and says where it stopped
    last_event_id: UUID | None = None  # where it stopped; None when it resumes but its id is no event's
    after: Position | None = None  # where it stopped, when it has been given a position and no event since

    def wants(self, event: EncodedEvent) -> bool:
        """Whether an event is asked for: its values are among those that each filter is to let through."""
        for place, values in self.wanted:  # noqa: SIM110  (asked of each event for each client)
            if event.values[place] not in values:
                return False
        return True


def parse_request(query: Query, headers: Mapping[str, str], registry: Registry) -> StreamRequest:
    """Read filters, topics, where the client stopped (header or query), and nothing else; caches' and tokens' pass by.

    Raises:
        RequestRefusedError: 422, a filter has no such value, as in ``topics_in``, or a parameter is near to one of
            ours.
    """
    parameters = query.multi_items()
    for name in {name for name, _ in parameters}:
        _refuse_near(name)
    # The header wins: a browser's own reconnect sends it, and repeats the query of the first connect.
    given = headers.get(RESUME_HEADER, "").strip() or _stopped_at(parameters)
    return StreamRequest(
        wanted=wanted(query.getlist, registry),
        topics=topics_in(query.getlist(TOPICS), registry),
        resumes=bool(given),
        last_event_id=_event_id(given),
        after=_position(given),
    )


def _event_id(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _position(value: str) -> Position | None:
    try:
        position = Position(value)
    except ValueError:
        return None
    return position if START <= position < POSITION_LIMIT else None


def _stopped_at(parameters: Iterable[tuple[str, str]]) -> str:
    """The last that says so: who appends one to an address that has one means the newer."""
    given = [value.strip() for name, value in parameters if len(name) <= PARAM_CHARS_MAX and _plain(name) in RESUMES]
    return next((value for value in reversed(given) if value), "")


def _refuse_near(name: str) -> None:
    """Refuse a parameter that was meant to be one of ours: ignored, it would change what the client gets."""
    if len(name) > PARAM_CHARS_MAX:
        return
    if meant := _meant(name):
        raise RequestRefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"There is no parameter {name!r}; did you mean {meant!r}?",
            members={"unknown": [name], "known": [*_OURS, LAST_EVENT_ID]},
        )


@lru_cache(NAMES_KEPT)
def _meant(name: str) -> str:
    """Which of ours a parameter was meant to be; empty for one of ours, and for none. The same few come again."""
    plain = _plain(name)
    if plain in RESUMES or name in _OURS:
        return ""
    meant = (ours for ours, like in _OURS.items() if plain in like or _is_near(plain, _plain(ours)))
    return next(meant, LAST_EVENT_ID if plain in OTHER_PLACES or _is_near(plain, "lasteventid") else "")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _is_near(plain: str, ours: str) -> bool:
    return SequenceMatcher(None, plain, ours).ratio() >= NEAR
