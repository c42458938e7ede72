"""An event made ready to be sent: its frame, written once for all clients, and what they choose it by. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.gateway.filters import FILTERS
from bridge.model.event_log import Position, StreamedEvent, read_message
from bridge.model.gateway_counters import Counters
from bridge.model.registry import Registry
from bridge.model.registry.naming import is_wire_name


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event on its way to clients."""

    position: Position
    values: Sequence[str | None]  # what each of the FILTERS goes by
    frame: bytes  # the wire text


class EventEncoder:
    """Encodes published events as frames, and counts what is malformed or unknown to the registry."""

    def __init__(self, registry: Registry, counters: Counters) -> None:
        self._types = frozenset(meta.event_type.value for meta in registry.events)
        self._values = [one.value_in(registry) for one in FILTERS]
        self._counters = counters

    def prepare(self, event: StreamedEvent) -> EncodedEvent | None:
        """The event with its frame; None if its type could not be a type of any registry."""
        if event.event_type not in self._types and not is_wire_name(event.event_type):
            self._counters.events_unknown += 1
            return None
        return EncodedEvent(event.position, [value(event) for value in self._values], event.to_sse_format().encode())

    def read(self, message: bytes) -> EncodedEvent | None:
        """The event of a pub/sub message, with its frame; None if it is not one of ours, or as in ``prepare``."""
        try:
            event = read_message(message)
        except ValueError:
            self._counters.messages_malformed += 1
            return None
        return self.prepare(event)
