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
    Retention,
    SSEEventMetadata,
    Topic,
    TopicAddress,
    User,
)
from bridge.model.registry.addresses import ADDRESSES_MAX
from bridge.model.registry.metadata import RETENTIONS_MAX
from tests.unit.test_registry_identifiers import NAMES, NUMBERS

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
CHATTER, ALARMS = Retention("chatter", 10, 60), Retention("alarms", seconds=86_400)
order, page, tenant = Topic("order", int), Topic("page"), Topic("tenant", UUID)


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"
    SENT = "order.sent"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    user_id: int
    order_id: int


def registry(
    audience: Any = Audience.USER,
    user: Any = lambda event: event.user_id,
    of_type: Retention | None = None,
    more: Retention | None = None,
    **changes: Any,
) -> Registry:
    return Registry(
        event_types=Type,
        categories=Category,
        events=[
            SSEEventMetadata(Type.PAID, Category.ORDERS, "paid", ["order_id"], of_type),
            SSEEventMetadata(Type.SENT, Category.ORDERS, "sent", [], more),
        ],
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
        ({"audience": "user"}, "Audience.BROADCAST, or a function that returns addresses, not 'user'."),
        ({"audience": EVERYONE}, "audience of OrderPaid must be Audience.USER, Audience.BROADCAST, or a function"),
        ({"user": None}, "no recipient: OrderPaid has no user_id_extractor, and no audience that says who is told"),
        ({"retention": {"orders": CHATTER}}, "retention of an unknown category: 'orders' is not a member of Category."),
        ({"retention": {Category.ORDERS: 3}}, "retention= takes a dict of category → Retention(name, …)."),
        (
            {"retention": {Category.ORDERS: CHATTER}, "more": Retention("chatter", 5)},
            "one name for 2 retentions: those called 'chatter' differ; give each class a name of its own.",
        ),
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


@pytest.mark.parametrize("user", [None, lambda event: event.user_id])
@pytest.mark.parametrize(
    "told", [lambda event: order(event.order_id), lambda event: [User(1), EVERYONE], lambda _: None]
)
def test_a_function_says_who_is_told_with_a_user_or_without(told: Any, user: Any) -> None:
    assert registry(audience=told, user=user).mappings[0].audience_words == "addresses"
    assert registry(audience=Audience.BROADCAST, user=None).mappings[0].user_field is None


def test_a_class_of_retention_is_the_type_s_or_else_the_category_s() -> None:
    assert registry().retention_of(Type.PAID) is None
    assert registry(retention={Category.ORDERS: CHATTER}).retention_of(Type.PAID) == CHATTER
    assert registry(retention={Category.ORDERS: CHATTER}, of_type=ALARMS).retention_of(Type.PAID) == ALARMS


def test_no_more_classes_can_be_declared_than_are_read_at_once() -> None:
    categories = StrEnum("Many", [f"C{number}" for number in range(RETENTIONS_MAX + 1)])
    types = StrEnum("Kinds", {f"T{number}": f"a.t{number}" for number in range(RETENTIONS_MAX + 1)})
    rows = [
        SSEEventMetadata(kind, category, "", [], Retention(f"r{number}"))
        for number, (kind, category) in enumerate(zip(types, categories, strict=True))
    ]
    with pytest.raises(RegistryError, match="too many retentions: 8 classes are declared; 7 at most"):
        Registry(event_types=types, categories=categories, events=rows)


@pytest.mark.parametrize(
    "values", [("Alarms",), ("a" * 41,), ("a", 0), ("a", True), ("a", 1.5), ("a", 10**7), ("a", None, 0), (None,)]
)
def test_a_retention_out_of_its_range_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match=r"^Retention\.\w+ .*[^\n]\.$"):
        Retention(*values)
