"""Pipeline: every envelope ends as one Outcome; nothing but an interrupt escapes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import PermanentError
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Retry, Skipped, Stage, describe
from bridge.model.pipeline.pipeline import NO_USER
from bridge.model.registry import Audience, DomainToSSEMapping, Registry, RetryPolicy, SSEEventMetadata
from bridge.model.registry.sampling import sample_event
from tests.support.naming import shown

EVENT_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
USER = UUID("01890a5d-ac96-774b-bcce-b302099a8001")
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
LIMIT = 2048


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID = EVENT_ID
    occurred_at: datetime = MOMENT
    user_id: UUID | None = USER
    note: str = ""


class WithdrawnError(PermanentError):
    """This order was withdrawn."""


def user_of(event: OrderPaid) -> UUID | None:
    return event.user_id


def raising(error: BaseException) -> Callable[[Any], Any]:
    def extract(event: object) -> Any:
        raise error

    return extract


def returning(value: object) -> Callable[[Any], Any]:
    return lambda event: value


def note_of(event: OrderPaid) -> dict[str, Any]:
    return {"note": event.note}


def pipeline_for(
    extract: Callable[[Any], Any] = note_of, *, user: Callable[[Any], Any] = user_of, **options: Any
) -> tuple[Pipeline, DomainToSSEMapping]:
    mapping = DomainToSSEMapping(OrderPaid, Type.PAID, extract, user, example=lambda: None, **options)
    registry = Registry(
        event_types=Type,
        categories=Category,
        events=[SSEEventMetadata(Type.PAID, Category.ORDERS, "paid", ("note",))],
        mappings=[DomainToSSEMapping(OrderPaid, Type.PAID, note_of, user_of)],
    )
    retry = RetryPolicy(attempts=3, base_s=2.0, cap_s=60.0)
    return Pipeline(registry, retry=retry, event_max_bytes=LIMIT, random=lambda: 0.5), mapping


def envelope(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(EventCodec(OrderPaid).encode(OrderPaid(**changes), source="test"))
    return raw


def run(extract: Callable[[Any], Any], raw: object = None, *, attempt: int = 1, **options: Any) -> Any:
    pipeline, mapping = pipeline_for(extract, **options)
    return pipeline.run(mapping, envelope() if raw is None else raw, attempt=attempt)


# Ends well


@pytest.mark.parametrize("mapping", REGISTRY.mappings, ids=lambda row: row.domain_event_class.__name__)
def test_every_built_in_event_is_published_with_its_own_id_time_and_user(mapping: DomainToSSEMapping) -> None:
    event = sample_event(mapping.domain_event_class)
    raw = json.loads(EventCodec(mapping.domain_event_class).encode(event, source="test"))
    outcome = Pipeline(REGISTRY, retry=RetryPolicy(), event_max_bytes=65_536, random=lambda: 0.0).run(mapping, raw)
    assert isinstance(outcome, Published)
    assert outcome.event.event_id == event.event_id
    assert outcome.event.occurred_at == event.occurred_at
    assert outcome.event.user_id == event.user_id
    assert outcome.event.event_type is mapping.sse_event_type
    assert json.loads(outcome.payload) == outcome.event.data
    assert outcome.audience is Audience.USER
    assert outcome.envelope is raw


def test_an_event_for_nobody_is_skipped_before_its_payload_is_extracted() -> None:
    assert run(raising(AssertionError("not asked")), envelope(user_id=None)) == Skipped(event_id=EVENT_ID)


def test_a_broadcast_needs_no_user() -> None:
    outcome = run(note_of, envelope(user_id=None), audience=Audience.BROADCAST)
    assert isinstance(outcome, Published)
    assert (outcome.audience, outcome.event.user_id) == (Audience.BROADCAST, NO_USER)


# Tries again, or gives up


def test_a_failing_extractor_is_tried_again_until_its_attempts_are_used_up() -> None:
    raw = envelope()
    outcomes = [run(raising(LookupError("not yet")), raw, attempt=attempt) for attempt in (1, 2, 3, 4)]
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry, Dead, Dead]
    assert [outcome.attempt for outcome in outcomes] == [1, 2, 3, 4]
    assert [outcome.after_s for outcome in outcomes[:2]] == [1.0, 2.0]
    assert {outcome.failure.message for outcome in outcomes} == {"not yet"}
    assert all(json.loads(outcome.envelope) == raw for outcome in outcomes)
    assert outcomes[0].event_id == EVENT_ID
    assert outcomes[2].letter_id == str(EVENT_ID)
    assert "raise error" in outcomes[2].failure.traceback


def test_a_mapping_has_its_own_patience() -> None:
    once = RetryPolicy(attempts=1)
    assert isinstance(run(raising(LookupError()), retry=once), Dead)
    often = RetryPolicy(attempts=9, base_s=0)
    outcome = run(raising(LookupError()), retry=often, attempt=8)
    assert isinstance(outcome, Retry)
    assert outcome.after_s == 0


@pytest.mark.parametrize("error", [PermanentError("never"), WithdrawnError()], ids=shown)
def test_a_permanent_error_is_dead_at_once(error: PermanentError) -> None:
    outcome = run(raising(error))
    assert isinstance(outcome, Dead)
    assert (outcome.attempt, outcome.failure.stage) == (1, Stage.EXTRACT)
    assert outcome.failure.message == str(error)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()], ids=shown)
@pytest.mark.parametrize("where", ["payload", "user"])
def test_an_interrupt_is_not_an_attempt_and_goes_through(error: BaseException, where: str) -> None:
    pipeline, mapping = (
        pipeline_for(raising(error)) if where == "payload" else pipeline_for(note_of, user=raising(error))
    )
    with pytest.raises(type(error)):
        pipeline.run(mapping, envelope())


@pytest.mark.parametrize("user", [str(USER), 5, b"", USER.bytes, object()], ids=shown)
def test_a_user_id_that_is_no_uuid_is_dead_at_once(user: object) -> None:
    outcome = run(note_of, user=returning(user))
    assert isinstance(outcome, Dead)  # another try returns the same
    assert outcome.failure.stage is Stage.EXTRACT
    assert "user_id must be a UUID" in outcome.failure.message


@pytest.mark.parametrize(
    "payload", [{"note": float("nan")}, {"note": b"x"}, {"note": {1}}, {1: "x"}, {"note": "\ud800"}], ids=shown
)
def test_a_payload_that_json_cannot_express_is_dead_at_once(payload: object) -> None:
    outcome = run(returning(payload))
    assert isinstance(outcome, Dead)
    assert (outcome.failure.stage, outcome.failure.error_class) == (Stage.ENCODE, "bridge.PayloadError")


def test_sizes_are_bounded_by_bytes_on_the_way_in_and_out() -> None:
    room = LIMIT - len(json.dumps(envelope(), separators=(",", ":")))
    assert isinstance(run(note_of, envelope(note="x" * room)), Published)
    too_big = run(note_of, envelope(note="x" * (room + 1)))
    assert isinstance(too_big, Dead)
    assert too_big.failure.stage is Stage.DECODE
    assert f"at most {LIMIT} are allowed (BRIDGE_EVENT_MAX_BYTES)" in too_big.failure.message
    fits = LIMIT - len('{"note":""}')
    assert isinstance(run(returning({"note": "é" * (fits // 2)})), Published)
    grown = run(returning({"note": "é" * (fits // 2 + 1)}))
    assert isinstance(grown, Dead)
    assert grown.failure.stage is Stage.ENCODE


def test_the_decision_is_the_same_for_failures_from_outside() -> None:
    pipeline, mapping = pipeline_for()
    failure = describe(RuntimeError("WRONGTYPE"), Stage.PUBLISH)
    assert isinstance(pipeline.failed(mapping, envelope(), failure, attempt=1), Retry)
    assert isinstance(pipeline.failed(mapping, envelope(), failure, attempt=3), Dead)
    assert isinstance(pipeline.failed(mapping, envelope(), failure, attempt=1, permanent=True), Dead)
    assert isinstance(pipeline.failed(mapping, {"id": None}, failure, attempt=1), Dead)


# Whatever comes in


def test_a_letter_of_what_has_no_id_is_named_after_its_bytes() -> None:
    one, again, other = (run(note_of, raw) for raw in ({"a": 1}, {"a": 1}, {"a": 2}))
    assert one.letter_id == again.letter_id != other.letter_id
    assert str(UUID(one.letter_id)) == one.letter_id
    assert json.loads(one.envelope) == {"a": 1}


def test_a_letter_of_a_broken_envelope_keeps_its_id() -> None:
    outcome = run(note_of, {"id": str(EVENT_ID).upper(), "data": 5})
    assert isinstance(outcome, Dead)
    assert outcome.letter_id == str(EVENT_ID)


class Hostile:
    """What an object hook of a message decoder may leave behind."""


wild_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["\ud800", str(EVENT_ID), "OrderPaid", "1.0", 2**200, -(2**63) - 1, b"\xff", EVENT_ID, MOMENT])
    | st.builds(Hostile),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(
    wild_json
    | st.fixed_dictionaries(
        {},
        optional={
            "specversion": st.just("1.0") | wild_json,
            "id": st.just(str(EVENT_ID)) | wild_json,
            "source": st.just("test") | wild_json,
            "type": st.just("OrderPaid") | wild_json,
            "time": st.just("2026-01-02T00:00:00Z") | wild_json,
            "data": st.fixed_dictionaries(
                {}, optional={"user_id": st.just(str(USER)) | wild_json, "note": st.text(st.characters()) | wild_json}
            )
            | wild_json,
        },
    ),
    st.integers(1, 5),
)
def test_whatever_comes_in_ends_as_an_outcome(raw: Any, attempt: int) -> None:
    pipeline, mapping = pipeline_for()
    outcome = pipeline.run(mapping, raw, attempt=attempt)
    assert isinstance(outcome, Published | Skipped | Retry | Dead)
    if isinstance(outcome, Dead):
        assert outcome == pipeline.run(mapping, raw, attempt=attempt)
        UUID(outcome.letter_id)
    if isinstance(outcome, Published):
        assert json.loads(outcome.payload) == outcome.event.data


@given(wild_json)
def test_whatever_an_extractor_returns_ends_as_an_outcome(payload: Any) -> None:
    outcome = run(returning(payload))
    assert isinstance(outcome, Published | Retry | Dead)


def test_json_nested_too_deeply_to_be_read_is_dead_and_kept() -> None:
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep]
    outcome = run(note_of, deep)
    assert isinstance(outcome, Dead)
    assert outcome.envelope == b"[" * 20_001 + b"]" * 20_001
