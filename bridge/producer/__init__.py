"""The producer's side: emit domain events without waiting for the broker."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand
from bridge.producer.default import configure, emit, emit_many, flush
from bridge.producer.emitter import Emitter

if TYPE_CHECKING:
    from bridge.producer.handler import SSEEventHandler

__all__ = ["Emitter", "SSEEventHandler", "configure", "emit", "emit_many", "flush"]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.producer.handler": "SSEEventHandler",
    },
)
