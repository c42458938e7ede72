"""A catalog whose extractor fails in twelve ways, each with ids, numbers, dates and paths of the event in its words."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge import Audience, DomainEvent, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata

CAUSES = 12


class Category(StrEnum):
    ORDERS = "orders"


class EventType(StrEnum):
    ORDER_PLACED = "order.placed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ordered(DomainEvent):
    """``number`` says how it fails: modulo CAUSES."""

    number: int = 0
    customer: str = "Ann"


class OutOfStockError(Exception):
    """The team's own."""


def _price(event: Ordered) -> int:
    raise ValueError(f"order {event.number} of {event.event_id} has no price")


def _weight(event: Ordered) -> int:
    # The same words as another failure's, and elsewhere in the code.
    raise ValueError(f"order {event.number} of {event.event_id} has no price")


def _both(event: Ordered) -> int:
    if event.number % CAUSES == 2:
        raise LookupError(f"{event.customer!r} has no address since 2026-01-{event.number % 28 + 1:02d}T10:00:00Z")
    # One function, one class and one statement further down: the words tell them apart.
    raise LookupError(f"{event.customer!r} has no telephone since 2026-01-{event.number % 28 + 1:02d}T10:00:00Z")


def _wrapped(event: Ordered) -> int:
    try:
        return {"a": 1}[f"item-{event.number}"]
    except KeyError as error:
        raise OutOfStockError(f"item at /srv/stock/{event.number}/{event.event_id}.json is out of stock") from error


def _recursion(event: Ordered, depth: int) -> int:
    if not depth:
        raise RuntimeError(f"cycle of {event.number} parts")
    return _recursion(event, depth - 1)


_RAISING = {0: _price, 1: _weight, 2: _both, 3: _both, 8: _wrapped}


def _payload(event: Ordered) -> dict[str, Any]:
    match event.number % CAUSES:
        case kind if kind in _RAISING:
            _RAISING[kind](event)
        case 4:
            return {"number": {"a": 1}[f"order-{event.number}"]}
        case 5:
            return {"number": event.number // (event.number - event.number)}
        case 6:
            return {"number": json.loads(f'{{"order": {event.number}, "customer": }}')}
        case 7:
            raise PermanentError(f"Order {event.number} was placed by {event.customer}@example.org, who left.")
        case 9:
            # At different depths it is the same mistake.
            _recursion(event, event.number % 5)
        case 10:
            return {"number": event.number, "what": object()}
    return {"number": [event.number][event.number]}


registry = Registry(
    event_types=EventType,
    categories=Category,
    events=[SSEEventMetadata(EventType.ORDER_PLACED, Category.ORDERS, "An order was placed", ("number",))],
    mappings=[
        DomainToSSEMapping(
            Ordered,
            EventType.ORDER_PLACED,
            lambda event: {"number": 0} if event.customer == "sample" else _payload(event),
            lambda event: event.user_id,
            audience=Audience.USER,
            retry=RetryPolicy(attempts=1),
            example=lambda: Ordered(user_id=None, customer="sample"),
        )
    ],
)
