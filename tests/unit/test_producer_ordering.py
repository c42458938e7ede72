"""Whose event it is: read without anybody's code, or not known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import uuid6

from bridge import Audience, DomainToSSEMapping
from bridge.catalogs.finance import REGISTRY
from bridge.model.errors import IdError
from bridge.model.registry import IdType
from bridge.model.registry.identifiers import INTS, TEXTS
from bridge.producer.batching import known, user_reader
from tests.support.moody_catalog import EventType

ALICE = UUID("0190f0a1-0000-7000-8000-000000000001")


@dataclass(frozen=True, kw_only=True)
class Paid:
    customer: UUID = ALICE
    silent: bool = False
    event_id: UUID = field(default_factory=uuid4)


def mapped(extractor: Callable[[Any], Any], audience: Audience = Audience.USER) -> DomainToSSEMapping:
    return DomainToSSEMapping(Paid, EventType.MOOD_SHOWN, lambda _: {}, extractor, audience=audience)


@pytest.mark.parametrize("extractor", [lambda e: e.customer, attrgetter("customer")])
def test_an_attribute_that_is_returned_as_it_is_is_read(extractor: Callable[[Any], Any]) -> None:
    assert user_reader(mapped(extractor))(Paid()) == ALICE


def _raises(_: Any) -> UUID:
    raise KeyError("no user")


@pytest.mark.parametrize(
    "extractor",
    [
        lambda e: None if e.silent else e.customer,
        lambda e: e.customer.parent,
        lambda e: UUID(str(e.customer)),
        lambda _: ALICE,
        lambda e: e.customer if isinstance(e, Paid) else None,
        _raises,
    ],
)
def test_of_any_other_extractor_nothing_is_known(extractor: Callable[[Any], Any]) -> None:
    assert user_reader(mapped(extractor))(Paid()) is None


def test_what_is_for_everybody_has_no_user() -> None:
    assert user_reader(mapped(lambda e: e.customer, Audience.BROADCAST))(Paid()) is None


def test_of_every_event_of_the_built_in_catalog_the_user_is_known() -> None:
    for mapping in REGISTRY.mappings:
        event = type("Event", (), {"user_id": ALICE})()
        assert user_reader(mapping)(event) is ALICE


def test_only_what_can_be_compared_without_foreign_code_is_a_user() -> None:
    class Odd(str):
        def __hash__(self) -> int:
            raise RuntimeError("not on this thread")

    six = uuid6.uuid7()
    assert [known(user) for user in (ALICE, six, "alice", 7)] == [ALICE.int, six.int, "alice", 7]
    assert [known(user) for user in (None, True, ["alice"], Odd("alice"), 7.5)] == [None] * 5


@pytest.mark.parametrize(("users", "bad"), [(INTS, "7"), (INTS, 2**63), (INTS, True), (TEXTS, "a b"), (TEXTS, 7)])
def test_a_user_that_can_be_none_is_noticed_where_the_event_is_emitted(users: IdType, bad: object) -> None:
    with pytest.raises(IdError):
        user_reader(mapped(lambda e: e.customer), users)(SimpleNamespace(customer=bad))


def test_numbers_texts_and_nobody_are_read_as_they_are() -> None:
    read = user_reader(mapped(lambda e: e.customer), INTS)
    assert [read(SimpleNamespace(customer=user)) for user in (7, None)] == [7, None]
    assert user_reader(mapped(lambda e: e.customer), TEXTS)(SimpleNamespace(customer="ann")) == "ann"
