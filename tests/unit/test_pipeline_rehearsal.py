"""check rehearses each mapping on samples of every kind that its class allows, the whole way that an event goes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest

from bridge import DomainEvent, DomainToSSEMapping, PermanentError, Registry, RegistryError, SSEEventMetadata, Supersede
from bridge.model.errors import FieldError
from bridge.model.pipeline.rehearsal import Remark, rehearse


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PLACED = "order.placed"


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Line:
    article: str
    price: Decimal | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed(DomainEvent):
    number: int = 1
    note: str | None = None
    colour: Colour = Colour.RED
    pay: Literal["card", "cash"] = "card"
    lines: list[Line] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    total: Decimal = Decimal(1)
    gift: bool = False


Extractor = Callable[[Any], Any]


def remarks(
    payload: Extractor,
    *,
    user: Extractor = lambda event: event.user_id,
    event_class: type[Any] = Placed,
    **options: Any,
) -> list[Remark]:
    registry = Registry(
        event_types=Type,
        categories=Category,
        events=[SSEEventMetadata(Type.PLACED, Category.ORDERS, "An order was placed", ("value",))],
        mappings=[DomainToSSEMapping(event_class, Type.PLACED, payload, user, **options)],
    )
    return rehearse(registry, event_max_bytes=65_536)


def value(extract: Extractor) -> Extractor:
    return lambda event: {"value": extract(event)}


def test_a_sound_mapping_has_no_remarks() -> None:
    assert remarks(value(lambda event: [event.note, event.colour, event.total, event.gift, event.pay])) == []


def leaves(event: Any) -> None:
    raise SystemExit(3)


PRICES = {Colour.RED: 1}


@pytest.mark.parametrize(
    ("extract", "said"),
    [
        (lambda event: event.nubmer, "AttributeError: 'Placed' object has no attribute 'nubmer'"),
        (lambda event: event.note.upper(), "AttributeError: 'NoneType' object has no attribute 'upper'"),
        (lambda event: len(event.note), "with note=None"),
        (lambda event: PRICES[event.colour], "KeyError: <Colour.GREEN: 'green'>"),
        (lambda event: {"card": 1}[event.pay], "with pay='cash'"),
        (lambda event: event.lines[0].article, "with lines=empty"),
        (lambda event: next(iter(event.extra)), "StopIteration"),
        (lambda event: [line.price + 1 for line in event.lines], "with lines.price=None"),
        (lambda event: 1 / (event.gift - 1), "ZeroDivisionError: division by zero"),
        (lambda event: undefined_name, "NameError: name 'undefined_name' is not defined"),  # type: ignore[name-defined]  # noqa: F821
        (lambda event: int(event.note or 1), "ValueError: invalid literal for int()"),
        (leaves, "SystemExit: 3"),
    ],
)
def test_an_extractor_that_raises_is_fatal_and_told_in_one_sentence(extract: Extractor, said: str) -> None:
    (remark,) = remarks(value(extract))
    assert remark.fatal
    assert remark.text.startswith("payload_extractor of Placed raised ")
    assert said in remark.text
    assert "(test_pipeline_rehearsal.py:" in remark.text
    assert "\n" not in remark.text


@pytest.mark.parametrize(
    ("extract", "said"),
    [
        (lambda event: event.lines, "payload.value[0] is of type Line, which JSON cannot express"),
        (lambda event: {1: 2} if event.gift else 1, "has a key of type int"),
        (lambda event: float("nan") if event.gift else 1, "payload.value is not a finite number"),
        (lambda event: b"x" if event.note is None else 1, "payload.value is of type bytes"),
        (lambda event: "x" * 70_000, "exceeds BRIDGE_EVENT_MAX_BYTES, 65536"),
    ],
)
def test_a_payload_that_cannot_be_published_for_some_value_is_fatal(extract: Extractor, said: str) -> None:
    try:
        (remark,) = remarks(value(extract))
    except Exception as error:  # for every value: then it is no registry at all
        assert said in str(error)
    else:
        assert remark.fatal
        assert said in remark.text


def test_what_a_worker_makes_of_a_sample_is_rehearsed_behind_its_extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no such tenant")

    monkeypatch.setattr("bridge.model.pipeline.rehearsal.transform", refuse)
    (remark,) = remarks(value(lambda event: 1))
    assert remark.fatal
    assert remark.text.startswith("transform of Placed raised ValueError: no such tenant (test_pipeline_rehearsal.py:")
    (remark,) = remarks(value(lambda event: event.nubmer))
    assert remark.text.startswith("payload_extractor of Placed raised ")


def test_what_the_bridge_says_of_an_extracted_value_is_not_taken_for_the_extractors_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An extractor that raises PermanentError gives an event up on purpose; one that returns junk does not."""

    def refuse(*_: object) -> None:
        raise FieldError("tenant must be a word.")

    monkeypatch.setattr("bridge.model.pipeline.rehearsal.transform", refuse)
    (remark,) = remarks(value(lambda event: 1))
    assert remark.fatal
    assert not remark.meant
    assert remark.text == "value of the wrong form: Placed: tenant must be a word."


def test_a_rule_of_staleness_that_finds_no_key_is_fatal() -> None:
    (remark,) = remarks(value(lambda event: 1), staleness=Supersede("valeu"))
    assert remark.fatal
    assert "KeyError: 'valeu'" in remark.text
    assert remarks(value(lambda event: 1), staleness=Supersede("value")) == []


class Paid(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    event_id: UUID
    occurred_at: datetime
    customer_id: UUID | None
    lines: list[Line]


def test_structs_are_rehearsed_too() -> None:
    def first(event: Any) -> Any:
        return event.lines[0].article

    (remark,) = remarks(value(first), user=lambda event: event.customer_id, event_class=Paid)
    assert remark.fatal
    assert "IndexError: list index out of range" in remark.text
    assert "with lines=empty" in remark.text


class Address(TypedDict, total=False):
    street: str
    city: str


class Sparse(msgspec.Struct, kw_only=True):
    event_id: UUID
    occurred_at: datetime
    user_id: UUID
    address: Address
    note: str | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("extract", "said"),
    [
        (lambda event: event.address["city"], "KeyError: 'city' .* with address.city=left out"),
        (lambda event: event.note, "UnsetType, which JSON cannot express.* with note=left out"),
    ],
)
def test_a_field_that_may_be_left_out_is_left_out_once(extract: Extractor, said: str) -> None:
    (remark,) = remarks(value(extract), event_class=Sparse)
    assert remark.fatal
    assert re.search(said, remark.text)


def test_a_default_of_another_type_than_its_field_is_fatal() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Sloppy(DomainEvent):
        note: str = None  # type: ignore[assignment]

    (remark,) = remarks(value(lambda event: event.note), event_class=Sloppy)
    assert remark.fatal
    assert remark.text.startswith("Sloppy with note=left out does not reach a worker: It does not fit Sloppy")


def test_an_extractor_that_gives_a_coroutine_is_fatal() -> None:
    class Promise:
        """As a coroutine, which nobody waits for."""

    with pytest.raises(RegistryError, match="payload_extractor of Placed returns Promise; it must return a dict"):
        remarks(lambda event: Promise())


def test_a_key_that_is_missing_for_some_value_is_fatal() -> None:
    (remark,) = remarks(lambda event: {"value": 1} if event.note else {})
    assert remark.fatal
    assert remark.text.endswith("Placed extracts (), but order.placed promises (value) (sample with note=None).")


def test_a_user_of_the_wrong_type_for_some_value_is_fatal() -> None:
    (remark,) = remarks(value(lambda event: 1), user=lambda event: event.user_id if event.note else "nobody")
    assert remark.fatal
    assert "user_id_extractor of Placed returns str; it must return a UUID" in remark.text


def test_a_user_extractor_that_raises_is_fatal() -> None:
    (remark,) = remarks(value(lambda event: 1), user=lambda event: event.owner)
    assert remark.text.startswith("user_id_extractor of Placed raised AttributeError")
    assert remark.fatal


def test_both_extractors_are_judged_although_one_fails() -> None:
    assert len(remarks(value(lambda event: event.a), user=lambda event: event.b)) == 2


def test_an_event_that_cannot_travel_is_fatal() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(DomainEvent):
        where: complex

    (remark,) = remarks(value(lambda event: 1), event_class=Odd)
    assert remark == Remark(True, remark.text)
    assert "no sample of Odd can be made (field where: JSON cannot carry a complex); give its" in remark.text
    example = Odd(user_id=UUID(int=1), where=1j)
    (remark,) = remarks(value(lambda event: 1), event_class=Odd, example=lambda: example)
    assert remark.text.startswith("Odd with its example does not reach a worker: Odd.where is of type complex")


def test_what_needs_a_database_is_a_warning() -> None:
    class NoDatabaseError(Exception):
        pass

    def ask(event: Any) -> Any:
        raise NoDatabaseError("postgres://app:hunter2@db is away")

    (remark,) = remarks(value(ask))
    assert not remark.fatal
    assert "hunter2" not in remark.text
    assert remark.text.endswith("give its DomainToSSEMapping an example=, which returns an event or a list of events.")


def test_the_same_for_some_values_only_is_fatal_unless_it_is_meant() -> None:
    class RefusedError(Exception):
        pass

    def refuse(error: type[Exception]) -> Extractor:
        def extract(event: Any) -> Any:
            if event.note is None:
                raise error("no")

        return value(extract)

    assert remarks(refuse(RefusedError))[0].fatal
    assert not remarks(refuse(PermanentError))[0].fatal


def test_examples_are_used_instead_of_made_samples() -> None:
    user = UUID(int=1)
    needs_number = value(lambda event: int(event.note))
    assert remarks(needs_number)[0].fatal
    assert remarks(needs_number, example=lambda: Placed(user_id=user, note="7")) == []
    several = [Placed(user_id=user, note="7"), Placed(user_id=user, note="seven")]
    (remark,) = remarks(needs_number, example=lambda: several)
    assert remark.fatal
    (remark,) = remarks(needs_number, example=list)
    assert "its example= gives no event" in remark.text


def test_a_class_that_refuses_the_sample_is_told_how_to_help() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strict(DomainEvent):
        code: str

        def __post_init__(self) -> None:
            if not self.code.isdigit():
                raise ValueError("code must be digits")

    (remark,) = remarks(value(lambda event: event.code), event_class=Strict)
    assert remark.text == (
        "no sample of Strict can be made (code must be digits); give its DomainToSSEMapping an example=, "
        "which returns an event or a list of events."
    )
