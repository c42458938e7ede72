"""What the shop's clients can hear: event types and the categories they filter by. Plain StrEnums."""

from enum import StrEnum


class ShopCategory(StrEnum):
    ORDERS = "orders"
    DELIVERY = "delivery"
    OFFERS = "offers"


class ShopEventType(StrEnum):
    ORDER_PLACED = "order.placed"
    ORDER_PAID = "order.paid"
    PARCEL_SHIPPED = "parcel.shipped"
    SALE_STARTED = "sale.started"
