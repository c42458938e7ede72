"""A producer: place an order, take the money, ship the parcel, and tell everybody of a sale.

Usage: BRIDGE_REGISTRY=examples.shop.catalog:registry python -m examples.shop.place_order [CUSTOMER_ID]
"""

import sys
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from bridge import emit, flush
from examples.shop.events import FlashSaleStarted, OrderLine, OrderPaid, OrderPlaced, ParcelShipped, now

DEMO_CUSTOMER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def place_order(customer_id: UUID | None, order_number: str) -> bool:
    """The shop's business, with one line for each thing that happened; whether all were accepted."""
    tea = OrderLine(article="tea", quantity=2, price=Decimal("4.90"))
    accepted = [emit(OrderPlaced(customer_id=customer_id, order_number=order_number, lines=(tea,)))]
    if customer_id:
        accepted += [
            emit(OrderPaid(customer_id=customer_id, order_number=order_number, amount=Decimal("9.80"), currency="EUR")),
            emit(
                ParcelShipped(customer_id=customer_id, order_number=order_number, carrier="swift", tracking_code="1Z9")
            ),
        ]
    accepted.append(emit(FlashSaleStarted(title="Tea time", discount_percent=20, ends_at=now() + timedelta(hours=1))))
    return all(accepted)


def main() -> None:
    customer_id = UUID(sys.argv[1]) if len(sys.argv) > 1 else DEMO_CUSTOMER
    if not place_order(customer_id, "S-1001"):
        sys.exit("Not all events were accepted. Is BRIDGE_REGISTRY=examples.shop.catalog:registry set?")
    if not flush(timeout_s=5):
        sys.exit("The broker does not have all events yet. Is it running at BRIDGE_BROKER_URL?")
    print(f"Order S-1001 of customer {customer_id} is on its way.")  # noqa: T201


if __name__ == "__main__":
    main()
