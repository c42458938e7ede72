"""An event made ready to be sent: its frame, written once for all clients, and its category. Pure."""

from dataclasses import dataclass

from bridge.model.event_log import Position, StreamedEvent, read_message
from bridge.model.events import event_frame
from bridge.model.gateway_counters import Counters
from bridge.model.registry import Registry
from bridge.model.registry.naming import is_wire_name


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event on its way to clients."""

    position: Position
    category: str | None  # by which clients filter; None for a type that this registry does not know
    frame: bytes  # the wire text


class EventEncoder:
    """Encodes published events as frames, and counts what is malformed or unknown to the registry."""

    def __init__(self, registry: Registry, counters: Counters) -> None:
        self._categories = {meta.event_type.value: meta.category.value for meta in registry.events}
        self._counters = counters

    def prepare(self, event: StreamedEvent) -> EncodedEvent | None:
        """The event with its frame; None if its type could not be a type of any registry."""
        category = self._categories.get(event.event_type)
        if category is None and not is_wire_name(event.event_type):
            self._counters.events_unknown += 1
            return None
        frame = event_frame(event.event_id, event.event_type, event.payload)
        return EncodedEvent(event.position, category, frame.encode())

    def read(self, message: bytes) -> EncodedEvent | None:
        """The event of a pub/sub message, with its frame; None if it is not one of ours, or as in ``prepare``."""
        try:
            event = read_message(message)
        except ValueError:
            self._counters.messages_malformed += 1
            return None
        return self.prepare(event)
