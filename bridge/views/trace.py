"""``Place``: where one event is, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from bridge.model.dead_letter import DeadLetter, Tombstone
from bridge.model.retry import Attempt
from bridge.operations import OnItsWay, SkippedEvent, Waiting, Whereabouts
from bridge.operations import Place as FoundPlace
from bridge.ports import Publication
from bridge.views.words import Named, moment, span

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
            words = f"since {moment(message.accepted_ms)}: {WHEREABOUTS[place.whereabouts]}"
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
    audience = "everybody" if place.user_id is None else f"user {place.user_id}"
    kept = "still in the stream" if place.in_stream else "no longer in the stream"
    facts = [Named("position", f"{place.position}, {kept}"), Named("seen mark", place.seen_key)]
    return Place(tone="good", name="published", words=f"{moment(place.at_ms)} to {audience}", facts=facts)


def _buried(letter: DeadLetter) -> Place:
    facts = [Named("letter", f"{letter.letter_id} (queue {letter.queue or '-'})"), Named("user", letter.user_id)]
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
