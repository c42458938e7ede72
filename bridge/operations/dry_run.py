"""What a redrive of dead letters would do today: the pipeline is run, and nothing is published."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from bridge.messages.whole_message import WholeMessage, read_whole
from bridge.model.bounds import PARSER_ERRORS, MessageBounds
from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import Failure, Outcome, Pipeline, Published, Skipped, Stage
from bridge.model.registry import EVERYONE, Audience, DomainToSSEMapping, DropAfter, Registry, RetryPolicy, User
from bridge.operations.trials import Trial, Trials
from bridge.ports import Destination, Publications, Sighting
from bridge.settings import AccountingSettings
from bridge.settings.topology import topology

TIME_LIMIT_S = 5.0


class Expected(StrEnum):
    """What is expected to become of a letter."""

    PUBLISHED = "published"
    """It would be published."""
    DUPLICATE = "duplicate"
    """It was published before; nothing would change, and the letter would be gone."""
    SKIPPED = "skipped"
    """There is no recipient any more; the letter would be gone."""
    FAILED = "failed"
    """It would die again."""
    STALE = "stale"
    """Its mapping's rule would discard it: too old, or superseded by a newer event."""
    RETURNED = "returned"
    """It holds a whole message, whose task today's registry knows: it goes back to its queue as it was, or its events
    are sent anew where the broker is not the store."""
    UNSENDABLE = "unsendable"
    """It is no message that could be sent again, or the registry has no mapping for its task; it stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What would become of one letter."""

    letter_id: str
    group: str  # id of its present root cause
    expected: Expected
    payload: bytes = b""  # what would be published, as JSON; empty if nothing would
    failure: Failure | None = None  # why it would fail; None if it would not
    note: str = ""  # why it is stale, unsendable, or would be quarantined again
    # For a duplicate: payload field → what clients were told, what they would be told today. What a letter would have
    # said when it died is not known, since its payload was never made or not kept.
    changes: dict[str, tuple[Any, Any]] | None = None


class Predictor:
    """Runs today's extractors over letters. They are the team's code: what they do to the world, they do here too.

    Args:
        time_limit_s: for one event.
    """

    def __init__(
        self,
        published: Publications,
        settings: AccountingSettings,
        registry: Registry,
        *,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._published = published
        # With the broker elsewhere no script can put a message back and take its letter out: see unfolded.
        self.in_one_step = topology(settings).one_server
        self._registry = registry
        self._bounds = MessageBounds.of(
            message_max_bytes=settings.message_max_bytes, emit_batch_max=settings.emit_batch_max
        )
        pipeline = Pipeline(
            registry, retry=RetryPolicy(), event_max_bytes=settings.event_max_bytes, random=random.random
        )
        self._trials = Trials(pipeline, time_limit_s=time_limit_s)

    def outcomes(self, letters: Sequence[DeadLetter]) -> list[Outcome | None]:
        """What the pipeline says of each; None of a letter that cannot be sent at all.

        The extractors run in a process of their own, as they do in a worker: one may end it.
        """
        sendable = [(letter, mapping) for letter in letters if (mapping := self.mapping_of(letter)) is not None]
        trials = [Trial(mapping, msgspec.json.decode(letter.envelope)) for letter, mapping in sendable]
        found = {
            id(letter): outcome for (letter, _), outcome in zip(sendable, self._trials.outcomes(trials), strict=True)
        }
        return [found.get(id(letter)) for letter in letters]

    def mapping_of(self, letter: DeadLetter) -> DomainToSSEMapping | None:
        """The mapping that a redrive would use; None if the letter cannot be sent."""
        return None if letter.raw or not is_json(letter.envelope) else self._registry.mapping_of_task(letter.task)

    def destination_of(self, outcome: Published) -> Destination:
        """Where an event would be published to."""
        everyone_or_user = EVERYONE if outcome.audience is Audience.BROADCAST else User(outcome.event.user_id)
        retention = self._registry.retention_of(outcome.event.event_type)
        return Destination(addresses=outcome.addresses or (everyone_or_user,), retention=retention)

    def whole_message(self, letter: DeadLetter) -> WholeMessage | None:
        """The message that a redrive would put back as it was; None if the letter holds none, or it cannot be."""
        message = read_whole(letter) if self.in_one_step else None
        if message is None:
            return None
        mapping = self._registry.mapping_of_task(message.task)
        if mapping is not None:
            # The category may have another name by now.
            return replace(message, queue=self._registry.queue_of(mapping))
        return message if message.queue in self._registry.queues else None

    def unfolded(self, letter: DeadLetter) -> tuple[DeadLetter, ...]:
        """A letter for each event of the message in this one, where it cannot go back as it was; none if they neither.

        To be put back and to leave the dead letters would be two steps there, with a loss between them.
        """
        message = None if self.in_one_step else read_whole(letter)
        return message.letters(letter) if message and not message.refusal_of_events(self._registry) else ()

    def predict(self, letters: Sequence[DeadLetter]) -> list[Prediction]:
        """What would become of each letter, superseding apart; publishes nothing."""
        outcomes = self.outcomes(letters)
        published = [outcome for outcome in outcomes if isinstance(outcome, Published)]
        found = self._published.look_up(
            [(self.destination_of(outcome), outcome.event.event_id) for outcome in published]
        )
        sightings = dict(zip(map(id, published), found, strict=True))
        return [
            self._judge(letter, outcome, sightings.get(id(outcome), Sighting()))
            for letter, outcome in zip(letters, outcomes, strict=True)
        ]

    def _judge(self, letter: DeadLetter, outcome: Outcome | None, seen: Sighting) -> Prediction:
        mapping = self.mapping_of(letter)
        predicted = partial(Prediction, letter_id=letter.letter_id, group=letter.group)
        if outcome is None or mapping is None:
            return self._judge_whole(letter)
        if is_too_old(mapping, letter):
            return predicted(expected=Expected.STALE, note=str(why_too_old(mapping)))
        if isinstance(outcome, Skipped):
            return predicted(expected=Expected.SKIPPED)
        if not isinstance(outcome, Published):
            return predicted(expected=Expected.FAILED, failure=outcome.failure)
        if seen.refusal:
            failure = Failure(stage=Stage.PUBLISH, error_class="redis.ResponseError", message=seen.refusal)
            return predicted(expected=Expected.FAILED, failure=failure, payload=outcome.payload)
        if seen.published:
            told = _read_payload(seen.payload)
            changes = differences(told, outcome.event.data) if told else {}
            return predicted(expected=Expected.DUPLICATE, payload=outcome.payload, changes=changes)
        return predicted(expected=Expected.PUBLISHED, payload=outcome.payload)

    def _judge_whole(self, letter: DeadLetter) -> Prediction:
        """Of a letter without an event that can be sent."""
        predicted = partial(Prediction, letter_id=letter.letter_id, group=letter.group)
        if parts := self.unfolded(letter):
            return predicted(expected=Expected.RETURNED, note=f"its {len(parts)} events are sent, each with its letter")
        message = self.whole_message(letter)
        if message is None:
            return predicted(expected=Expected.UNSENDABLE, note=self._why_unsendable(letter))
        refusal = message.refusal(self._registry, self._bounds)
        if refusal:
            return predicted(expected=Expected.FAILED, note=f"would be quarantined again: {refusal}")
        return predicted(expected=Expected.RETURNED, note="goes back to its queue as it was")

    def _why_unsendable(self, letter: DeadLetter) -> str:
        """One sentence for a letter that cannot be sent again."""
        if letter.cut_from:
            return (
                f"Only the beginning of what stood on the queue was kept ({letter.cut_from}): send its events anew "
                "from where they came from, in smaller messages, or discard it."
            )
        message = read_whole(letter)
        if message is not None and not self.in_one_step:
            return f"Its message cannot be run: {message.refusal_of_events(self._registry)}"
        if message is not None:
            return f"Today's registry has no queue {message.queue}, to which its message would go back."
        if letter.raw or not is_json(letter.envelope):
            return (
                "What stood on the queue was no message of events; export it, mend it and send it anew, or discard it."
            )
        return f"Today's registry has no mapping for {letter.task or 'its task'}."


def _read_payload(payload: bytes) -> dict[str, Any]:
    """What clients were told; nothing if it is not retained."""
    try:
        return msgspec.json.decode(payload or b"{}", type=dict[str, Any])
    except PARSER_ERRORS:  # a stranger's entry
        return {}


def differences(told: dict[str, Any], today: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Field → both values, where they differ; a field that is missing counts as None."""
    plain = _plain(today)
    names = [*told, *(name for name in plain if name not in told)]
    return {name: (told.get(name), plain.get(name)) for name in names if told.get(name) != plain.get(name)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    encoded = msgspec.json.Encoder(decimal_format="string").encode(values)
    found: dict[str, Any] = msgspec.json.decode(encoded)
    return found


def is_json(envelope: str) -> bool:
    """Whether a letter's envelope can be sent as it is."""
    try:
        msgspec.json.decode(envelope)
    except PARSER_ERRORS:
        return False
    return True


def why_too_old(mapping: DomainToSSEMapping) -> str:
    """The reason that is written on the tombstone."""
    return f"stale: older than {mapping.staleness.after_s:g} s" if isinstance(mapping.staleness, DropAfter) else ""


def is_too_old(mapping: DomainToSSEMapping, letter: DeadLetter) -> bool:
    """Whether the mapping's rule drops a letter for its age."""
    if not isinstance(mapping.staleness, DropAfter):
        return False
    occurred_at = occurred_at_of(letter.envelope)
    return occurred_at is not None and datetime.now(UTC) - occurred_at > timedelta(seconds=mapping.staleness.after_s)


class _Timed(msgspec.Struct, frozen=True):
    time: datetime


def occurred_at_of(envelope: str) -> datetime | None:
    """When an envelope's event occurred; None if it does not say."""
    try:
        moment = msgspec.json.decode(envelope, type=_Timed).time
    except PARSER_ERRORS:
        return None
    return moment if moment.tzinfo else None
