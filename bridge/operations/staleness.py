"""Judges whether a letter is too old to be redriven: by its age, or because a newer event says the same thing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import Outcome, Published
from bridge.model.registry import Address, Registry, Supersede
from bridge.operations.dry_run import Predictor, is_too_old, occurred_at_of, why_too_old
from bridge.ports import Destination, Publications

HISTORY_LOOK_MAX = 1000
"""Entries of a stream, newest first, that are searched for a newer event."""


class Staleness:
    """Applies the mappings' rules.

    What can be known of superseding: other letters of the same redrive, and what the stream still retains
    (BRIDGE_STREAM_MAXLEN, BRIDGE_STREAM_TTL_S). An event that is published while a redrive runs, between this
    look and the worker's, is not seen.

    Args:
        published: reads what a stream still retains.
        predictor: makes the payloads by which events are compared.

    Attributes:
        supersedes: whether any mapping has a rule by which a newer event supersedes others.
    """

    def __init__(self, published: Publications, predictor: Predictor, registry: Registry) -> None:
        self._published = published
        self._predictor = predictor
        self.supersedes = any(isinstance(row.staleness, Supersede) for row in registry.mappings)

    def too_old(self, letter: DeadLetter) -> str:
        """Why a letter is dropped for its age; empty if it is not."""
        mapping = self._predictor.mapping_of(letter)
        return why_too_old(mapping) if mapping is not None and is_too_old(mapping, letter) else ""

    def note_newest(self, letters: Sequence[DeadLetter], newest: dict[str, str]) -> None:
        """Enter into ``newest`` (what an event is about → age and id) those letters that are newer."""
        for _, subject in self._subjects(letters):
            if subject.known:
                newest[subject.about] = max(newest.get(subject.about, ""), subject.age)

    def superseded(self, letters: Sequence[DeadLetter], newest: Mapping[str, str]) -> dict[str, str]:
        """Letter id → why it must not be redriven; empty text if that cannot be told. The others may be redriven."""
        found: dict[str, str] = {}
        for letter, subject in self._subjects(letters):
            if not subject.known:
                found[letter.letter_id] = ""
            elif newest.get(subject.about, subject.age) > subject.age:
                found[letter.letter_id] = f"superseded by {newest[subject.about].rpartition(' ')[2]}"
            elif later := self._published_later(subject):
                found[letter.letter_id] = f"superseded by {later}, which is published"
        return found

    def _subjects(self, letters: Sequence[DeadLetter]) -> list[tuple[DeadLetter, "_Subject"]]:
        """What the events are about of those letters whose mapping has such a rule."""
        if not self.supersedes:
            return []
        ruled = [
            (letter, mapping.staleness)
            for letter in letters
            if (mapping := self._predictor.mapping_of(letter)) is not None and isinstance(mapping.staleness, Supersede)
        ]
        outcomes = self._predictor.outcomes([letter for letter, _ in ruled])
        return [
            (letter, self._subject(letter, rule, outcome))
            for (letter, rule), outcome in zip(ruled, outcomes, strict=True)
        ]

    def _subject(self, letter: DeadLetter, rule: Supersede, outcome: Outcome | None) -> "_Subject":
        occurred_at = occurred_at_of(letter.envelope)
        if not isinstance(outcome, Published) or occurred_at is None:
            return _Subject(rule=rule)
        destination = self._predictor.destination_of(outcome)
        about = _about(outcome, rule, outcome.payload, destination)
        age = f"{int(occurred_at.timestamp() * 1_000_000):020d} {letter.letter_id}"
        return _Subject(rule=rule, about=about, age=age, outcome=outcome, destination=destination)

    def _published_later(self, subject: "_Subject") -> str:
        """The id of a newer published event about the same thing, which all were told; empty if none is retained."""
        assert subject.destination is not None  # noqa: S101  (the caller looked)
        first, *others = (self._newer(subject, address) for address in subject.destination.addresses)
        return next((event_id for event_id in first if all(event_id in other for other in others)), "")

    def _newer(self, subject: "_Subject", address: Address) -> list[str]:
        """The newer events about the same thing that one address was told, newest first."""
        outcome, destination = subject.outcome, subject.destination
        assert outcome is not None and destination is not None  # noqa: S101  (the caller looked)
        return [
            past.event_id
            for past in self._published.newest(address, HISTORY_LOOK_MAX, retention=destination.retention)
            if past.event_type == outcome.event.event_type.value
            and past.occurred_at > outcome.event.occurred_at
            and _about(outcome, subject.rule, past.payload, destination) == subject.about
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """What an event is about, its age (comparable text), and what would be published; empty if that cannot be told."""

    rule: Supersede
    about: str = ""
    age: str = ""
    outcome: Published | None = None
    destination: Destination | None = None

    @property
    def known(self) -> bool:
        """Whether it can be told what the event is about."""
        return bool(self.about)


def _about(outcome: Published, rule: Supersede, payload: bytes, destination: Destination | None) -> str:
    """Type, addresses and key as one short name; empty if the payload has no key."""
    try:
        key = rule.key_of(msgspec.json.decode(payload, type=dict[str, Any]))
    except Exception:  # the team's own function, or a payload of an older release
        return ""
    told = " ".join(map(str, destination.addresses)) if destination else ""
    words = f"{outcome.event.event_type.value}\0{told}\0{key!r}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]
