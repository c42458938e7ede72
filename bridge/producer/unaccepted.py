"""``Unaccepted``: what an emitter does not accept is counted, and logged in a sentence or raised by a strict one."""

import time
from collections import Counter
from threading import Lock
from typing import Any

from bridge.model.errors import EventRefusedError, IdError, PayloadError
from bridge.model.plain_text import name_of, plain_logger
from bridge.producer.diversion import diversion

logger = plain_logger(__name__)

WARN_INTERVAL_S = 10.0
"""A full buffer is logged at most this often; each refused event is counted."""

UNMAPPED_CLASSES_MAX = 20
"""Classes without a mapping that are logged and reported by name; each event is counted."""
CLASS_CHARS_MAX = 200
"""Characters of such a name."""


class Unaccepted:
    """Of one process; safe with threads.

    Each method tells a test that looks, and raises EventRefusedError where the emitter is strict.

    Args:
        catalog: where the emitter's mappings come from.
        strict: raise instead of logging.

    Attributes:
        counts: events by reason: unmapped, refused, overflowed.
        classes: names of classes without a mapping, the first ``UNMAPPED_CLASSES_MAX`` of them.
    """

    def __init__(self, catalog: str, *, strict: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.classes: dict[str, None] = {}
        self._catalog = catalog
        self._strict = strict
        self._last_warning = -WARN_INTERVAL_S
        self._lock = Lock()

    def unmapped(self, event: Any) -> None:
        """Its class has no mapping; logged once a class."""
        self._count("unmapped")
        name = _full_name_of(type(event))[:CLASS_CHARS_MAX]
        text = (
            f"{name} has no mapping in the catalog that this process uses ({self._catalog}), so "
            "that none of its events is sent. Does BRIDGE_REGISTRY name your catalog, and has it a mapping for exactly "
            "this class?"
        )
        self._raise_if_strict(event, text)
        if name not in self.classes and len(self.classes) < UNMAPPED_CLASSES_MAX:
            self.classes[name] = None
            logger.warning("bridge.event.unmapped %s", text)

    def refused(self, event: Any, error: Exception) -> None:
        """It cannot be sent as it is."""
        self._count("refused")
        is_ours = issubclass(type(error), PayloadError | IdError)  # isinstance would ask the error itself
        reason = str(error) if is_ours else f"it could not be read ({name_of(type(error))})."
        text = f"{_called(event)} was not accepted: {reason}"
        self._raise_if_strict(event, text, error)
        logger.error("bridge.event.refused %s", text)

    def overflowed(self, number: int, why: str) -> None:
        """There is no room for so many events."""
        self._count("overflowed", number)
        if self._strict:
            raise EventRefusedError(f"{number} events were not accepted: {why}")
        now = time.monotonic()
        if now - self._last_warning >= WARN_INTERVAL_S:
            self._last_warning = now
            logger.error("bridge.event.overflowed total=%d: %s", self.counts["overflowed"], why)

    def forget_parent(self) -> None:
        """In a forked child, where another thread of the parent may have held the lock."""
        self._lock = Lock()
        self.counts.clear()
        self.classes.clear()

    def _raise_if_strict(self, event: Any, text: str, error: Exception | None = None) -> None:
        if (test := diversion()) is not None:
            test.note_refused(event, text)
        if self._strict:
            raise EventRefusedError(text) from error

    def _count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number


def _called(event: Any) -> str:
    """How the log calls an event that may be anything."""
    try:
        return f"{name_of(type(event))} {event.event_id}"
    except Exception:  # foreign code, or a damaged id
        return f"{name_of(type(event))} without id"


def _full_name_of(event_class: type[Any]) -> str:
    try:
        return f"{event_class.__module__}.{event_class.__qualname__}"
    except Exception:  # of its metaclass
        return name_of(event_class)
