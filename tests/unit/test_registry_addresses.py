"""Addresses: a user, a topic or everyone, as values and as text; and what a registry says of its own."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import AddressError, IdError, RegistryError
from bridge.model.registry import (
    EVERYONE,
    Audience,
    DomainToSSEMapping,
    Everyone,
    Registry,
    SSEEventMetadata,
    Topic,
    TopicAddress,
    User,
)
from bridge.model.registry.addresses import ADDRESSES_MAX
from tests.unit.test_registry_identifiers import NAMES, NUMBERS

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
order, page, tenant = Topic("order", int), Topic("page"), Topic("tenant", UUID)


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    user_id: int
    order_id: int


def registry(audience: Any = Audience.USER, user: Any = lambda event: event.user_id, **changes: Any) -> Registry:
    return Registry(
        event_types=Type,
        categories=Category,
        events=[SSEEventMetadata(Type.PAID, Category.ORDERS, "paid", ["order_id"])],
        mappings=[
            DomainToSSEMapping(
                OrderPaid, Type.PAID, lambda event: {"order_id": event.order_id}, user, audience=audience
            )
        ],
        **{"user_id": int, "topics": (order, page, tenant), **changes},
    )


def faults_of(**changes: Any) -> str:
    with pytest.raises(RegistryError) as caught:
        registry(**changes)
    return "\n".join(caught.value.faults)


BOOK = registry().addresses
ADDRESSES = st.one_of(NUMBERS.map(User), NUMBERS.map(order), NAMES.map(page), st.uuids().map(tenant), st.just(EVERYONE))


@given(ADDRESSES)
def test_an_address_is_the_same_after_its_text(address: Any) -> None:
    assert BOOK.parse(str(address)) == address == BOOK.checked(address)
    assert hash(BOOK.parse(str(address))) == hash(address)


@given(ADDRESSES, ADDRESSES)
def test_two_addresses_are_equal_if_their_texts_are(one: Any, other: Any) -> None:
    assert (one == other) == (str(one) == str(other))


def test_addresses_are_written_as_people_write_them() -> None:
    assert [str(one) for one in (User(7), order(42), page("a:b"), tenant(USER), Everyone())] == [
        "user:7",
        "order:42",
        "page:a:b",
        f"tenant:{USER}",
        "everyone",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "user", "user:", "user:ann", "order:", "order:07", "order:x", "Order:7", "invoice:7", "tenant:7"),
        *(None, 7, b"user:7"),
    ],
)
def test_what_is_no_address_as_text_is_refused_in_a_sentence(text: Any) -> None:
    with pytest.raises(AddressError, match=r"^\S.*[^\n]\.$"):
        BOOK.parse(text)


@pytest.mark.parametrize(
    "address", [7, "order:42", None, Audience.USER, User("ann"), User(USER), TopicAddress("invoice", 7)]
)
def test_what_is_no_address_of_this_registry_is_refused(address: Any) -> None:
    with pytest.raises(AddressError):
        BOOK.checked(address)


@pytest.mark.parametrize("make", [lambda: User(None), lambda: User(True), lambda: User("a b"), lambda: order("42")])
def test_no_address_is_made_of_what_is_no_id(make: Any) -> None:
    with pytest.raises(IdError):
        make()


@pytest.mark.parametrize("name", ["", "Order", "1st", "order:", "a b", "user", "everyone", "x" * 41, "ordér", 7])
def test_a_topic_that_could_not_be_told_from_others_is_refused(name: Any) -> None:
    with pytest.raises(AddressError):
        Topic(name, int)


def test_a_topic_has_keys_of_a_kind_that_ids_have() -> None:
    with pytest.raises(IdError):
        Topic("order", float)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (True, "may_hear of order must be a function of the principal and the key, not bool."),
        (lambda principal: True, "may_hear of order must take two arguments: the principal and the key."),
        (lambda principal, key, tenant: True, "may_hear of order must take two arguments"),
    ],
)
def test_what_cannot_say_who_may_hear_a_topic_is_refused_in_a_sentence(rule: Any, said: str) -> None:
    with pytest.raises(AddressError, match=said):
        Topic("order", int, may_hear=rule)


@pytest.mark.parametrize("rule", [None, lambda principal, key: True, lambda *both: True, dict[str, str]().get, max])
def test_whatever_takes_the_principal_and_the_key_can_say_who_may_hear_a_topic(rule: Any) -> None:
    assert Topic("order", int, may_hear=rule)(42) == order(42)


def test_one_event_has_each_address_once_and_none_is_nobody() -> None:
    assert BOOK.all_checked([order(1), User(7), order(1)]) == (order(1), User(7))
    assert BOOK.all_checked(User(7)) == (User(7),)
    assert BOOK.all_checked(None) == BOOK.all_checked([]) == ()
    with pytest.raises(AddressError, match="at most"):
        BOOK.all_checked([order(number) for number in range(ADDRESSES_MAX + 1)])


def test_topics_are_declared_and_shown() -> None:
    assert registry().topics == (order, page, tenant)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_id": float}, "illegal user_id: ids can be UUID, int or str, not float."),
        (
            {"topics": [order, Topic("order", str)]},
            "one name for two topics: Topic('order', int) and Topic('order', str) are given; keep one.",
        ),
        ({"topics": ["order"]}, "topics= takes Topic(name, kind), not str."),
        (
            {"user_id": str},
            "user_id_extractor of OrderPaid returns int; it must return a text, or None for no recipient.",
        ),
        ({"user": lambda _: 2**70}, "illegal user: user_id_extractor of OrderPaid returns what cannot be one"),
        ({"audience": "user"}, "audience of OrderPaid must be Audience.USER or Audience.BROADCAST, not 'user'."),
        ({"audience": EVERYONE}, "audience of OrderPaid must be Audience.USER or Audience.BROADCAST"),
    ],
)
def test_a_registry_says_what_is_wrong_with_its_ids_and_topics(changes: Any, said: str) -> None:
    assert said in faults_of(**changes)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (lambda event: "order:42", "not str."),
        (lambda event: [User(event.user_id), event.order_id], "not int."),
        (lambda event: User(str(event.user_id)), "user_id must be a whole number, not str."),
        (lambda event: Topic("invoice", int)(1), "there is no topic 'invoice' in this registry"),
        (lambda event: TopicAddress("order", "42"), "the key of order must be a whole number, not str."),
    ],
)
def test_an_audience_that_returns_what_is_no_address_is_a_fault(told: Any, said: str) -> None:
    assert f"illegal address: audience of OrderPaid returns what is none: {said}" in faults_of(audience=told).replace(
        "User: ", ""
    ).replace("TopicAddress: ", "").replace("an address is User(id), a topic's, or EVERYONE, ", "")


@pytest.mark.parametrize(
    "told", [lambda event: order(event.order_id), lambda event: [User(1), EVERYONE], lambda _: None]
)
def test_publishing_to_topics_is_refused_as_yet_and_never_dropped(told: Any) -> None:
    assert faults_of(audience=told) == (
        "audience of OrderPaid is a function: topics can be declared, publishing to them is not supported yet; "
        "use Audience.USER or Audience.BROADCAST."
    )
