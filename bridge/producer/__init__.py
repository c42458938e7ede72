"""Door for producers: emit domain events and get on with business."""

from bridge.producer.default import configure, emit, emit_many, flush
from bridge.producer.emitter import Emitter
from bridge.producer.handler import SSEEventHandler

__all__ = ["Emitter", "SSEEventHandler", "configure", "emit", "emit_many", "flush"]
