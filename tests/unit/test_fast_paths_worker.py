"""The fast paths of a worker say what their slow twins say, and every event of the built-in catalog takes them."""

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from types import MappingProxyType, SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import serialization

from bridge.messages import TaskMessage
from bridge.messages.bundling import PASSED_CONTENT_TYPE, Envelopes, pass_on, split
from bridge.model.bounds import LEVELS_READ_MAX
from bridge.model.errors import BridgeError
from bridge.model.events import SSEEvent, encode_payload, json_payload
from bridge.model.events.sse_event import vouched_event
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Skipped
from bridge.model.pipeline import pipeline as pipeline_module
from bridge.model.pipeline.envelope import encode_raw, read_envelope
from bridge.model.pipeline.pipeline import transform
from bridge.model.registry import DomainToSSEMapping, RetryPolicy
from bridge.redis_adapter import settler
from tests.support import strange
from tests.support.strange import REGISTRY, SAMPLES, Nested, Typed, TypedTypes

CODECS = {mapping.domain_event_class: EventCodec(mapping.domain_event_class) for mapping in REGISTRY.mappings}
ALL = (*SAMPLES, Nested(), Typed(anything=[1.5, None]))
WRITTEN = [CODECS[type(event)].encode(event, source="shop") for event in ALL]
for event, envelope in zip(ALL, WRITTEN, strict=True):
    CODECS[type(event)].decode(envelope)  # a codec makes its decoders when it reads its first event
BY_NAME = {mapping.domain_event_class.__name__: mapping for mapping in REGISTRY.mappings}
RETRY = RetryPolicy(attempts=5, base_s=1, cap_s=9)
PIPELINE = Pipeline(REGISTRY, retry=RETRY, event_max_bytes=65_536, random=lambda: 0.5)


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the slow path was taken")


def said(call: Callable[[], object]) -> Any:
    """What a call returns or refuses; of anything else that it raises, the kind."""
    try:
        return call()
    except BridgeError as error:
        return type(error), str(error)
    except Exception as error:
        return type(error)


def mapping_of(envelope: object) -> DomainToSSEMapping:
    """The mapping whose event an envelope has; of what is spoilt, any."""
    name = envelope.get("type") if isinstance(envelope, dict) else ""
    return BY_NAME.get(str(name), BY_NAME["Typed"])


@given(strange.envelopes(WRITTEN))
def test_what_is_decoded_at_once_is_what_the_steps_decode(written: bytes) -> None:
    codec = CODECS[mapping_of(said(lambda: json.loads(written))).domain_event_class]
    at_once = said(lambda: codec._decode_at_once(written))
    if at_once is not None:
        assert repr(at_once) == repr(said(lambda: codec._decode_in_steps(read_envelope(written))))


lawful = strange.envelopes(WRITTEN, lawless=False) | strange.plain_json.map(lambda value: json.dumps(value).encode())


@given(st.lists(lawful, max_size=4))
def test_envelopes_that_are_passed_on_end_as_those_that_celery_parsed(written: list[bytes]) -> None:
    body = TaskMessage(task="bridge.Typed", queue="q", envelopes=written).body()
    message = SimpleNamespace(body=body, content_type="application/json", content_encoding="utf-8")
    pass_on(message)
    if message.content_type != PASSED_CONTENT_TYPE:
        return
    ((by_celery,), _, _) = serialization.loads(body, "application/json", "utf-8", accept={"application/json"})
    for raw, plain in zip(Envelopes(message.body).split(), by_celery, strict=True):
        assert repr(end_of(raw, mapping_of(plain))) == repr(end_of(plain, mapping_of(plain)))


@given(st.lists(st.integers(0, 500), max_size=4), st.integers(0, 600))
@example([900], 400)
def test_no_envelope_is_too_deep_whatever_others_it_came_with(depths: list[int], flat: int) -> None:
    """Brackets are counted before levels are looked for."""
    envelopes = [b"[" * depth + b'"]"' + b"]" * depth for depth in depths] + [b"{}"] * flat
    deepest = max(depths, default=0)
    try:
        assert len(split(b",".join(envelopes))) == len(envelopes)
    except ValueError:
        assert deepest > LEVELS_READ_MAX
    else:
        assert deepest <= LEVELS_READ_MAX


def end_of(raw: object, mapping: DomainToSSEMapping) -> tuple[object, ...]:
    """What becomes of an envelope, with its bytes as JSON says them."""
    outcome = PIPELINE.run(mapping, raw)
    if isinstance(outcome, Skipped):
        return (outcome,)
    if isinstance(outcome, Published):
        return Published, outcome.event, outcome.payload, outcome.audience, json.loads(encode_raw(outcome.envelope))
    # In which words a parser says what is wrong may differ.
    failure = outcome.failure.stage, outcome.failure.error_class
    return type(outcome), failure, outcome.told, json.loads(outcome.envelope)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400"])
def test_a_number_that_is_not_finite_is_no_null_however_its_message_was_written(number: str) -> None:
    spelt = WRITTEN[-1].replace(b"1.5", number.encode())
    for raw in (msgspec.Raw(spelt), json.loads(spelt)):
        outcome = PIPELINE.run(BY_NAME["Typed"], raw)
        assert isinstance(outcome, Dead)
        assert repr(json.loads(outcome.envelope)) == repr(json.loads(spelt))


@given(
    user_id=strange.identifiers,
    data=strange.values | st.dictionaries(strange.texts, strange.values),
    event_id=strange.identifiers,
    occurred_at=strange.moments,
)
def test_what_is_vouched_for_is_what_the_checks_would_make(
    user_id: Any, data: Any, event_id: Any, occurred_at: Any
) -> None:
    mapping = DomainToSSEMapping(
        domain_event_class=Typed,
        sse_event_type=TypedTypes.TYPED,
        payload_extractor=lambda _: data,
        user_id_extractor=lambda _: user_id,
    )
    event = SimpleNamespace(event_id=event_id, occurred_at=occurred_at)
    fast = said(lambda: transform(event, mapping))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_module, "vouched_event", checked_event)
        assert values_of(fast) == values_of(said(lambda: transform(event, mapping)))


def checked_event(*given: Any, **named: Any) -> SSEEvent:
    """What ``vouched_event`` is given, looked at."""
    values = inspect.signature(vouched_event).bind(*given, **named).arguments
    return SSEEvent.for_user(values.pop("user_id"), **values)


def values_of(event: object) -> object:
    """The very values of an SSE event; anything else as it is."""
    return [id(getattr(event, one.name)) for one in fields(event)] if isinstance(event, SSEEvent) else event


keys = strange.texts | st.sampled_from([1, None, strange.Size.SMALL])


@given(st.dictionaries(keys, strange.scalars | strange.values))
def test_a_flat_payload_is_written_and_refused_as_one_that_is_looked_into(payload: dict[Any, Any]) -> None:
    assert said(lambda: encode_payload(payload)) == said(lambda: encode_payload(MappingProxyType(payload)))


times = st.datetimes(timezones=st.just(UTC)) | strange.moments.filter(lambda one: isinstance(one, datetime))


@given(st.lists(times))
@example([strange.OwnDatetime(2026, 1, 2, tzinfo=UTC)])
def test_the_times_of_a_batch_are_written_as_each_alone(moments: list[datetime]) -> None:
    assert settler._moments(moments) == [moment.isoformat() for moment in moments]


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_the_catalogs_events_take_every_fast_path_of_a_worker(event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written, mapping = CODECS[type(event)].encode(event, source="shop"), BY_NAME[type(event).__name__]
    body = TaskMessage(task=REGISTRY.task_of(mapping), queue="q", envelopes=[written]).body()
    message = SimpleNamespace(body=body, content_type="application/json", content_encoding="utf-8")
    pass_on(message)
    assert message.content_type == PASSED_CONTENT_TYPE
    monkeypatch.setattr(EventCodec, "_decode_in_steps", refuse)
    monkeypatch.setattr(SSEEvent, "for_user", refuse)
    monkeypatch.setattr(json_payload, "_normal", refuse)
    outcome = PIPELINE.run(mapping, Envelopes(message.body).split()[0])
    if event.user_id is None:
        assert isinstance(outcome, Skipped)
        return
    assert isinstance(outcome, Published)
    encode = settler._json_encoder.encode
    encoded: list[object] = []
    monkeypatch.setattr(
        settler, "_json_encoder", SimpleNamespace(encode=lambda moments: (encoded.append(moments), encode(moments))[1])
    )
    settler._moments([outcome.event.occurred_at])
    assert encoded
