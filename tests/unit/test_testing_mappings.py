"""``bridge.testing.published`` and ``assert_catalog``: what becomes of an event, and what is wrong with a catalog."""

from typing import Any

import pytest

from bridge import DomainToSSEMapping, Registry, catalog_of
from bridge.testing import assert_catalog, published
from tests.support.orders import Category, OrderLost, OrderPaid, OrderShipped, OrderTracked, SaleBegan, Type, registry


def test_an_event_becomes_what_a_browser_gets() -> None:
    event = OrderPaid(user_id=3, number="7")
    message = published(event, registry)
    assert (message.type, message.payload, message.user) == ("order.paid", {"number": "7"}, 3)
    assert message.addresses == ("user:3",)
    assert message.frame == f'id: {event.event_id}\nevent: order.paid\ndata: {{"number":"7"}}\n\n'.encode()


def test_a_broadcast_goes_to_everyone() -> None:
    message = published(SaleBegan(percent=10), registry)
    assert message.user is None and message.addresses == ("everyone",)


def test_a_topic_is_an_address_without_a_user() -> None:
    message = published(OrderTracked(order=42), registry)
    assert message.user is None and message.addresses == ("order:42",)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (OrderLost(user_id=1), "OrderLost has no mapping in this catalog"),
        (OrderPaid(user_id=1, number=7), "emit refuses it: It does not fit OrderPaid"),  # type: ignore[arg-type]
        (OrderPaid(user_id=1, number="x" * 70_000), "emit refuses it: it has .* bytes"),
        (OrderPaid(user_id=None, number="7"), "it is skipped, because its mapping names no recipient"),
        (OrderShipped(user_id=1, trouble="for now"), "it is tried again .*ConnectionError .*the carrier is away"),
        (OrderShipped(user_id=1, trouble="forever"), "it is dead-lettered at once .*no such carrier"),
    ],
    ids=["unmapped", "misfit", "large", "skipped", "retried", "dead"],
)
def test_what_is_not_published_says_why(event: Any, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        published(event, registry)


def test_a_failure_shows_where_the_extractor_raised() -> None:
    with pytest.raises(AssertionError) as failure:
        published(OrderShipped(user_id=1, trouble="for now"), registry)
    assert isinstance(failure.value.__cause__, ConnectionError)


def test_a_good_catalog_has_warnings_at_most() -> None:
    assert assert_catalog(catalog_of({"order.paid": OrderPaid}, user_id=int)) == []
    assert_catalog("tests.support.customer_catalog:registry")


def test_a_catalogs_faults_are_all_listed() -> None:
    typos = [
        DomainToSSEMapping(OrderPaid, Type.PAID, lambda event: {"number": event.nmber}, lambda event: event.user_id),
        DomainToSSEMapping(OrderShipped, Type.SHIPPED, lambda _: {"carrier": "swift"}, lambda event: event.user),
    ]
    faulty = Registry(event_types=Type, categories=Category, events=registry.events, mappings=typos, user_id=int)
    with pytest.raises(AssertionError) as failure:
        assert_catalog(faulty)
    first, *faults = str(failure.value).splitlines()
    assert first == "The catalog has 2 faults:"
    assert "payload_extractor of OrderPaid raised AttributeError" in faults[0]
    assert "user_id_extractor of OrderShipped raised AttributeError" in faults[1]


def test_a_path_that_names_no_catalog_is_a_fault() -> None:
    with pytest.raises(AssertionError) as failure:
        assert_catalog("tests.support.orders:nothing")
    assert str(failure.value).startswith("The catalog has a fault:\n  - BRIDGE_REGISTRY names")
