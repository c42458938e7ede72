"""Numbers, times, failures and where an event is, in words; each has one form, wherever it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, assert_never

from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.pipeline import Failure
from bridge.model.retry import Attempt
from bridge.operations import OnItsWay, SkippedEvent, Waiting, Whereabouts
from bridge.operations import Place as FoundPlace
from bridge.ports import Publication
from bridge.runtime.command_names import renamed

NONE = "-"
"""Stands where there is no value."""
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


class Named(NamedTuple):
    """A value with its name, as a filter or a fact is shown; an empty one says nothing."""

    name: str
    value: str


def span(seconds: float | None) -> str:
    """A length of time in the largest unit of which it has two."""
    if seconds is None:
        return NONE
    for unit, length_s in _UNITS:
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def due(in_s: float | None) -> str:
    """When something comes; overdue if ``in_s`` is negative, empty if nothing comes."""
    if in_s is None:
        return ""
    return f"in {span(in_s)}" if in_s > 0 else f"{span(-in_s)} overdue"


def moment(at_ms: int) -> str:
    """A time of Redis: RFC 3339, UTC, to the ms."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, noun: str, mark: str = "", plural: str = "") -> str:
    """A number with its noun: ``1 letter``, ``2,000 letters``; a mark such as + goes behind the number."""
    return f"{number:,}{mark} {noun if number == 1 and not mark else plural or noun + 's'}"


def numbers_in_words(numbers: Mapping[str, int]) -> str:
    """Numbers with their names, without those that are 0."""
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items() if number)


ADDRESSES_SHOWN = 4


def addresses_in_words(addresses: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = [f"and {len(addresses) - ADDRESSES_SHOWN:,} more"] if len(addresses) > ADDRESSES_SHOWN else []
    return ", ".join([*addresses[:ADDRESSES_SHOWN], *more])


def event_class(task: str) -> str:
    """The domain event class that a task handles."""
    return task.removeprefix("bridge.")


def failure_in_words(failure: Failure, message_chars: int | None = None) -> str:
    """Where, what and why, with the whole message or its beginning."""
    return f"{failure.stage}: {failure.error_class}: {failure.message[:message_chars]}"


WHEREABOUTS = {
    Whereabouts.QUEUED: "its message stands on its queue",
    Whereabouts.CLAIMED: "a worker has its message",
    Whereabouts.MISSING: "MISSING: its message is on no queue and claimed by no worker (see sse-bridge audit)",
    Whereabouts.UNKNOWN: "on its queue or claimed by a worker; this broker does not tell, or is away",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One place that knows an event."""

    tone: str  # good, busy, warn, bad or quiet
    name: str  # what became of it; ``words`` go on
    words: str
    facts: Sequence[Named] = ()
    attempts: Sequence[Attempt] = field(default=())
    letter_id: str = ""  # id of the dead letter; empty elsewhere


def in_words(place: FoundPlace) -> Place:
    """A place as operators read it."""
    match place:
        case Publication():
            return _published(place)
        case OnItsWay():
            message = place.message
            words = f"since {moment(message.accepted_ms)}: {renamed(WHEREABOUTS[place.whereabouts])}"
            facts = [Named("message", f"{message.message_id} ({message.task})"), Named("queue", message.queue)]
            return Place(tone="busy", name="in flight", words=words, facts=facts)
        case Waiting():
            attempts = place.record.attempts if place.record else ()
            return Place(tone="warn", name="waiting", words=f"for its next attempt, {_due(place)}", attempts=attempts)
        case DeadLetter():
            return _buried(place)
        case SkippedEvent():
            return Place(tone="quiet", name="skipped", words=f"{moment(place.at_ms)}: it had no recipient")
        case Tombstone():
            return Place(tone="quiet", name="discarded", words=f"{place.at} by {place.who}: {place.reason}")
        case _:
            assert_never(place)


def unknown(seen_life_s: float) -> str:
    """What is to be said of an event that no place knows.

    Args:
        seen_life_s: for how long the id of a published event is remembered.
    """
    return (
        "It was never accepted here, it was written off or evicted, or it was published more than "
        f"{span(seen_life_s)} ago: so long an id is remembered. Or its producer still holds it."
    )


def _published(place: Publication) -> Place:
    kept = "still in the stream" if place.in_stream else "no longer in the stream"
    facts = [Named("position", f"{place.position}, {kept}"), Named("seen mark", place.seen_key)]
    return Place(tone="good", name="published", words=f"{moment(place.at_ms)} to {place.address}", facts=facts)


def _buried(letter: DeadLetter) -> Place:
    letter_id = Named("letter", f"{letter.letter_id} (queue {letter.queue or '-'})")
    facts = [letter_id, Named("for", addresses_in_words(letter.addresses))]
    return Place(
        tone="bad",
        name="dead letter",
        words=f"since {letter.buried_at}, at stage {letter.failure.stage}",
        facts=facts,
        attempts=letter.attempts,
        letter_id=letter.letter_id,
    )


def _due(place: Waiting) -> str:
    if place.due_in_s is None:
        return "with no time set"
    if place.due_in_s < 0:
        return f"due since {span(-place.due_in_s)}"
    return f"due in {span(place.due_in_s)} at the latest"
