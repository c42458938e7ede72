"""``published`` and ``assert_catalog``: what a team's own mappings make of events, without a server."""

import random
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.catalogs import load_registry
from bridge.model.errors import RegistryError
from bridge.model.events.sse_event import StreamedEvent
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Retry, Skipped, snapshot_taker
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.pipeline.rehearsal import gaps, rehearse, written
from bridge.model.plain_text import name_of, one_line
from bridge.model.position import START
from bridge.model.publishing import AddressedEvent
from bridge.model.registry import Audience, DomainToSSEMapping, Id, Registry, RetryPolicy
from bridge.settings import WorkerSettings, load_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a browser is sent of one event."""

    type: str  # wire name
    payload: dict[str, Any]  # as the browser parses it
    user: Id | None  # None where its audience is another: everyone, or what a function returns
    addresses: tuple[str, ...]  # who hears it: ``user:7``, ``order:42``, ``everyone``
    event_id: str  # a UUID; the id of its frame begins with it
    frame: bytes  # as it is on the wire


def published(event: Any, registry: Registry | None = None) -> Message:
    """What is published of an event: written as ``emit`` writes it, then run as a worker runs it.

    Args:
        event: of a class that has a mapping.
        registry: default: the environment's.

    Raises:
        AssertionError: it is not published at its first attempt; says why, and what becomes of it instead.
        SettingsError: the environment's settings are wrong.
        RegistryError: the registry cannot be loaded.
    """
    __tracebackhide__ = True
    settings = load_settings(for_=WorkerSettings)
    registry = registry or load_registry(settings.registry)
    mapping = registry.by_class.get(type(event))
    if mapping is None:
        raise AssertionError(f"{name_of(type(event))} has no mapping in this catalog, so that none is published.")
    envelope = _envelope(event, mapping, settings.event_max_bytes)
    retry = RetryPolicy(attempts=settings.retry_attempts, base_s=settings.retry_base_s, cap_s=settings.retry_cap_s)
    pipeline = Pipeline(registry, retry=retry, event_max_bytes=settings.event_max_bytes, random=random.random)
    outcome = pipeline.run(mapping, msgspec.Raw(envelope))
    if isinstance(outcome, Published):
        return _message(outcome)
    raise AssertionError(f"{name_of(type(event))} is not published: {_why(outcome)}") from getattr(
        outcome, "error", None
    )


def assert_catalog(registry: Registry | str = "") -> list[str]:
    """Hold a catalog to all that ``sse-bridge check`` asks of it. Runs its extractors on sample events, many times.

    Args:
        registry: or its path, as ``package.module:attribute``; default: the environment's.

    Returns:
        Warnings, a sentence each: what works and may surprise, such as types that nothing is mapped to.

    Raises:
        AssertionError: it has faults; lists all of them.
        SettingsError: the environment's settings are wrong.
    """
    __tracebackhide__ = True
    settings = load_settings(for_=WorkerSettings)
    if isinstance(registry, str):
        try:
            registry = load_registry(registry or settings.registry)
        except RegistryError as error:
            raise AssertionError(_listed(list(error.faults) or [str(error)])) from error
    remarks = [*rehearse(registry, event_max_bytes=settings.event_max_bytes), *gaps(registry)]
    faults = [remark.text for remark in remarks if remark.fatal]
    if faults:
        raise AssertionError(_listed(faults))
    return [remark.text for remark in remarks]


def _listed(faults: list[str]) -> str:
    counted = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"The catalog has {counted}:", *(f"  - {fault}" for fault in faults)])


def _envelope(event: Any, mapping: DomainToSSEMapping, event_max_bytes: int) -> bytes:
    __tracebackhide__ = True
    event_class = mapping.domain_event_class
    try:
        return written(event, EventCodec(event_class), snapshot_taker(event_class, event_max_bytes), event_max_bytes)
    except Exception as error:  # the class may have code of its own
        said = one_line(describe(error, Stage.ENCODE).message)
        raise AssertionError(f"{event_class.__name__} is not published: emit refuses it: {said}") from error


def _message(outcome: Published) -> Message:
    event = outcome.event
    user = event.user_id if outcome.audience is Audience.USER else None
    addressed = AddressedEvent(event=event, payload=outcome.payload, user_id=user, addresses=outcome.addresses)
    streamed = StreamedEvent(
        event_id=str(event.event_id),
        event_type=event.event_type.value,
        payload=outcome.payload.decode(),
        position=START,
    )
    frame = streamed.to_sse_format()
    return Message(
        type=event.event_type.value,
        payload=msgspec.json.decode(frame.partition("\ndata: ")[2]),
        user=user,
        addresses=tuple(map(str, addressed.told)),
        event_id=str(event.event_id),
        frame=frame.encode(),
    )


def _why(outcome: Skipped | Retry | Dead) -> str:
    if isinstance(outcome, Skipped):
        return "it is skipped, because its mapping names no recipient: user_id_extractor or audience returns none."
    failure = outcome.failure
    said = f"{failure.error_class} at stage {failure.stage.value}: {one_line(failure.message)}"
    if isinstance(outcome, Dead):
        return f"it is dead-lettered at once ({said.rstrip('.')})."
    return f"its attempt {outcome.attempt} fails, and it is tried again ({said.rstrip('.')})."
