"""A producer with a database: an order's payment and the event that tells of it are committed together, or neither is.

Usage: BRIDGE_REGISTRY=examples.shop.catalog:registry python -m examples.shop.pay_order [DATABASE_URL]
"""

import sys
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bridge import flush
from bridge.contrib.sqlalchemy import drain, emit, outbox_table
from examples.shop.events import OrderPaid
from examples.shop.place_order import DEMO_CUSTOMER


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    number: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    amount: Mapped[Decimal]
    is_paid: Mapped[bool] = mapped_column(default=False)


outbox_table(Base.metadata)  # an application with migrations calls create_outbox(op) in one


def place(engine: Engine, number: str, amount: Decimal) -> None:
    with Session(engine) as session:
        session.merge(Order(number=number, customer_id=DEMO_CUSTOMER, amount=amount))
        session.commit()


def pay(engine: Engine, number: str, *, is_declined: bool = False) -> None:
    """Raises ValueError if the bank declines; then nothing was paid, and no one is told."""
    with Session(engine) as session, session.begin():
        order = session.get_one(Order, number)
        order.is_paid = True
        told = OrderPaid(customer_id=order.customer_id, order_number=order.number, amount=order.amount, currency="EUR")
        emit(told, session=session)
        if is_declined:
            raise ValueError(f"The payment of {number} was declined.")


def main() -> None:
    engine = create_engine(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///shop.sqlite")
    Base.metadata.create_all(engine)
    drain(engine)  # at the start of a process: it also sends what another left
    for number in ("S-1001", "S-1002"):
        place(engine, number, Decimal("9.80"))
    pay(engine, "S-1001")
    try:
        pay(engine, "S-1002", is_declined=True)
    except ValueError as error:
        print(error)  # noqa: T201
    if not flush(timeout_s=5):
        sys.exit("The broker does not have it yet: it waits in the table bridge_outbox, and any process sends it.")
    print("The customer of order S-1001 is told.")  # noqa: T201


if __name__ == "__main__":
    main()
