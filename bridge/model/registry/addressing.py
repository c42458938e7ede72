"""Which attribute of an event an extractor returns, where that is all it does; found out without an event."""

from collections.abc import Callable
from typing import Any


class _Probe:
    """Stands for an event, and notes what is read of it."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: list[tuple[str, object]] = []

    def __getattr__(self, name: str) -> object:
        value = object()
        self.read.append((name, value))
        return value


def attribute_returned(extractor: Callable[[Any], object]) -> str | None:
    """The one attribute that an extractor reads, if it returns it as it is."""
    probe = _Probe()
    try:
        result = extractor(probe)
    except Exception:  # it wanted a real event
        return None
    match probe.read:
        case [(name, value)] if value is result:
            return name
    return None
