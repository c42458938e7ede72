"""The same shop for users of three kinds of ids, with an authenticator of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

from uuid6 import uuid7

from bridge import Audience, DomainToSSEMapping, Registry, RetryPolicy, SSEEventMetadata
from bridge.gateway import AuthRequest, Principal, RequestRefusedError, UnauthorizedError


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"
    LOST = "order.lost"
    LATE = "order.late"
    NEWS = "shop.news"


@dataclass(frozen=True, kw_only=True)
class Base:
    number: int = 0
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def _number(event: Any) -> dict[str, Any]:
    return {"number": event.number}


def _lost(_: Any) -> dict[str, Any]:
    raise LookupError("no such order")


def shop(kind: type) -> tuple[Registry, dict[str, Any]]:
    """A registry whose users are of a kind, and its event classes by name."""
    classes = {
        name: make_dataclass(
            name,
            [("customer", kind | None)],
            bases=(Base,),
            frozen=True,
            kw_only=True,
            namespace={"__module__": __name__},
        )
        for name in ("OrderPaid", "OrderLost", "OrderLate", "ShopNews")
    }
    once = RetryPolicy(attempts=1)
    patient = RetryPolicy(attempts=2, base_s=3600, cap_s=3600)
    rows: list[tuple[str, Type, Callable[[Any], dict[str, Any]], dict[str, Any]]] = [
        ("OrderPaid", Type.PAID, _number, {}),
        ("OrderLost", Type.LOST, _lost, {"retry": once}),
        ("OrderLate", Type.LATE, _lost, {"retry": patient}),
        ("ShopNews", Type.NEWS, _number, {"audience": Audience.BROADCAST}),
    ]
    registry = Registry(
        event_types=Type,
        categories=Category,
        events=[SSEEventMetadata(one, Category.ORDERS, "What happened in a shop", ["number"]) for one in Type],
        mappings=[
            DomainToSSEMapping(classes[name], event_type, extract, lambda event: event.customer, **options)
            for name, event_type, extract, options in rows
        ],
        user_id=kind,
    )
    return registry, classes


numbers, by_number = shop(int)
names, by_name = shop(str)
uuids, by_uuid = shop(UUID)


class HeaderAuthenticator:
    """Believes a header that a proxy sets; ``X-Role: guest`` may hear nothing."""

    def __init__(self, registry: Registry) -> None:
        self._users = registry.users

    async def identify(self, request: AuthRequest) -> Principal:
        """See ``Authenticator``."""
        if request.headers.get("x-role") == "guest":
            raise RequestRefusedError(HTTPStatus.FORBIDDEN, "Guests hear nothing.")
        try:
            return Principal(user=self._users.parse(request.headers.get("x-user", "")))
        except ValueError:
            raise UnauthorizedError("Sign in first.") from None


of_numbers, of_names = HeaderAuthenticator(numbers), HeaderAuthenticator(names)
a_class = HeaderAuthenticator
a_number = 7


class Sync:
    """An authenticator that is none."""

    def identify(self, _: AuthRequest) -> Principal:
        """Not async."""
        return Principal(user=uuid4())


class Careless:
    """Another that is none."""

    async def identify(self) -> Principal:
        """Takes no request."""
        return Principal(user=uuid4())


sync, careless = Sync(), Careless()
