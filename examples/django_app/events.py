"""What happens in the shop, and what its users are told of it."""

from bridge import Event, catalog_of


class OrderPaid(Event):
    user_id: int
    number: str


registry = catalog_of({"order.paid": OrderPaid}, user_id=int)
