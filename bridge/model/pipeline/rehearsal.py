"""Rehearses each mapping on sample events, the whole way that an event goes: written, read, extracted, written."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

from bridge.model.errors import DecodeError, FieldError, PayloadError, PermanentError
from bridge.model.events import encode_payload
from bridge.model.pipeline.envelope import EventCodec
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.pipeline.pipeline import transform
from bridge.model.pipeline.snapshot import Snapshot, snapshot_taker
from bridge.model.plain_text import one_line
from bridge.model.registry import Audience, DomainToSSEMapping, Registry, Supersede
from bridge.model.registry.contract import (
    audience_fault,
    class_name,
    examples_of,
    payload_fault,
    type_fault,
    user_fault,
)
from bridge.model.registry.sampling import CannotSampleError, Sample, UnwritableTypeError, sample_events

GIVE_EXAMPLE = "give its DomainToSSEMapping an example=, which returns an event or a list of events"
SOURCE = "bridge-rehearsal"


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence about a mapping."""

    fatal: bool  # events would die of it
    text: str  # the sentence, with the class, what is special about the event, and what to do
    meant: bool = False  # the extractor gives such events up on purpose


def written(event: Any, codec: EventCodec, take: Callable[[Any], Snapshot | None], event_max_bytes: int) -> bytes:
    """The envelope, as ``emit`` writes it.

    Raises:
        PayloadError: ``emit`` refuses the event.
        Exception: of the class's own code, for which ``emit`` refuses it as well.
    """
    snapshot = take(event)
    envelope = (
        codec.wrap(snapshot, event.event_id, event.occurred_at, source=SOURCE)
        if snapshot
        else codec.encode(event, source=SOURCE)
    )
    if len(envelope) > event_max_bytes:
        raise PayloadError(f"it has {len(envelope)} bytes (BRIDGE_EVENT_MAX_BYTES is {event_max_bytes})")
    return envelope


def gaps(registry: Registry) -> list[Remark]:
    """Types that no mapping leads to."""
    return [
        Remark(False, f"no domain event is mapped to {meta.event_type.value}; the worker never publishes it.")
        for meta in registry.gaps()
    ]


def rehearse(registry: Registry, *, event_max_bytes: int) -> list[Remark]:
    """Everything that would happen to events of each mapping and should not. Runs the extractors, many times."""
    return [
        remark for mapping in registry.mappings for remark in _Rehearsal(registry, mapping, event_max_bytes).remarks()
    ]


class _Rehearsal:
    def __init__(self, registry: Registry, mapping: DomainToSSEMapping, event_max_bytes: int) -> None:
        meta = registry.metadata(mapping.sse_event_type)
        assert meta is not None  # noqa: S101  (a registry has no mapping without)
        self._meta = meta
        self._users = registry.users
        self._addresses = registry.addresses
        self._mapping = mapping
        self._name = class_name(mapping)
        self._codec = EventCodec(mapping.domain_event_class)
        self._take = snapshot_taker(mapping.domain_event_class, event_max_bytes)
        self._event_max_bytes = event_max_bytes

    def remarks(self) -> Iterable[Remark]:
        """One remark for each step that fails, about the first sample at which it does."""
        try:
            samples = self._samples()
        except CannotSampleError as error:
            fatal = isinstance(error, UnwritableTypeError)
            return [Remark(fatal, f"no sample of {self._name} can be made ({_sentence(error)}); {GIVE_EXAMPLE}.")]
        except Exception as error:  # an example is foreign code
            return [Remark(True, f"example of {self._name} raised {_told(error)}.")]
        found: dict[str, Remark] = {}
        failures: Counter[str] = Counter()
        for sample in samples:
            for step, remark in self._play(sample):
                found.setdefault(step, remark)
                failures[step] += 1
        # What fails for some values that the class allows, and not for others, fails because of these.
        return [
            remark if failures[step] == len(samples) or remark.meant else replace(remark, fatal=True)
            for step, remark in found.items()
        ]

    def _samples(self) -> Sequence[Sample]:
        if self._mapping.example is None:
            return list(sample_events(self._mapping.domain_event_class))
        return [Sample(event, "its example") for event in examples_of(self._mapping)]

    def _play(self, sample: Sample) -> Iterator[tuple[str, Remark]]:
        """What goes wrong with one sample: the step and a remark."""
        on = f" with {sample.special}" if sample.special else ""
        try:
            envelope = written(sample.event, self._codec, self._take, self._event_max_bytes)
            event = self._codec.decode(envelope)
        except (PayloadError, DecodeError) as error:
            return (yield "travel", Remark(True, f"{self._name}{on} does not reach a worker: {_sentence(error)}."))
        except Exception as error:  # the class may have code of its own
            return (yield "travel", Remark(True, f"{self._name}{on} does not reach a worker: {_told(error)}."))
        remarks = [*self._run("user_id_extractor", self._judge_user, event, on)]
        remarks += self._run("audience", self._judge_audience, event, on)
        remarks += self._run("payload_extractor", self._judge_payload, event, on)
        remarks += () if remarks else self._judge_type(event, on)
        # Where both are right, so must be what a worker makes of them, and of whatever else the mapping extracts.
        yield from remarks or self._run("transform", self._transform, event, on)

    def _judge_user(self, event: Any) -> str | None:
        extract = self._mapping.user_id_extractor
        return user_fault(self._mapping, extract(event), self._users) if extract else None

    def _judge_audience(self, event: Any) -> str | None:
        told = self._mapping.audience
        return None if isinstance(told, Audience) else audience_fault(self._mapping, told(event), self._addresses)

    def _transform(self, event: Any) -> str | None:
        try:
            transform(event, self._mapping, self._users)
        except FieldError as error:  # the bridge's own word on what an extractor returned, which no extractor means
            return f"value of the wrong form: {self._name}: {error}"
        return None

    def _judge_payload(self, event: Any) -> str | None:
        payload = self._mapping.payload_extractor(event)
        fault = payload_fault(self._mapping, payload, self._meta)
        if fault is None and len(encode_payload(payload)) > self._event_max_bytes:
            return f"payload too large: that of {self._name} exceeds BRIDGE_EVENT_MAX_BYTES, {self._event_max_bytes}."
        rule = self._mapping.staleness
        if fault is None and isinstance(rule, Supersede):
            rule.key_of(dict(payload))  # raises what a redrive of dead letters would die of
        return fault

    def _judge_type(self, event: Any, on: str) -> Iterator[tuple[str, Remark]]:
        found = type_fault(self._mapping, self._mapping.payload_extractor(event), self._meta)
        if found:
            unless = "" if found.certain else f"; if real events have other values than the sample, {GIVE_EXAMPLE}"
            yield "payload", Remark(found.certain, f"{found.text.rstrip('.')}{on and f' (sample{on})'}{unless}.")

    def _run(self, name: str, judge: Callable[[Any], str | None], event: Any, on: str) -> Iterator[tuple[str, Remark]]:
        try:
            fault = judge(event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # foreign code: also SystemExit or CancelledError
            meant = isinstance(error, PermanentError)
            fatal = not (meant or isinstance(error, OSError) or _is_foreign(error))
            unless = "" if self._mapping.example else f"; if real events differ from the sample, {GIVE_EXAMPLE}"
            said = f"{name} of {self._name} raised {_told(error)} on a sample event{on}{unless}."
            yield name, Remark(fatal, said, meant)
        else:
            if fault:
                yield name, Remark(True, f"{fault.rstrip('.')}{on and f' (sample{on})'}.")


def _is_foreign(error: BaseException) -> bool:
    """Whether a library or the team's own code defines the exception, as for a database that is not there."""
    return type(error).__module__ not in {"builtins", "decimal", "asyncio.exceptions"}


def _told(error: BaseException) -> str:
    """An exception in words: class, scrubbed message, and where it was raised."""
    failure = describe(error, Stage.EXTRACT)
    frames = extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{failure.error_class}: {one_line(failure.message.rstrip('.'))}{place}"


def _sentence(error: Exception) -> str:
    return one_line(describe(error, Stage.ENCODE).message).rstrip(".")
