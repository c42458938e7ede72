"""Numbers, times, failures and tasks in words; each has one form, wherever it is shown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from bridge.model.pipeline import Failure

NONE = "-"
"""Stands where there is no value."""
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


class Named(NamedTuple):
    """A value with its name, as a filter or a fact is shown; an empty one says nothing."""

    name: str
    value: str


def span(seconds: float | None) -> str:
    """A length of time in the largest unit of which it has two."""
    if seconds is None:
        return NONE
    for unit, length_s in _UNITS:
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def due(in_s: float | None) -> str:
    """When something comes; overdue if ``in_s`` is negative, empty if nothing comes."""
    if in_s is None:
        return ""
    return f"in {span(in_s)}" if in_s > 0 else f"{span(-in_s)} overdue"


def moment(at_ms: int) -> str:
    """A time of Redis: RFC 3339, UTC, to the ms."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, noun: str, mark: str = "", plural: str = "") -> str:
    """A number with its noun: ``1 letter``, ``2,000 letters``; a mark such as + goes behind the number."""
    return f"{number:,}{mark} {noun if number == 1 and not mark else plural or noun + 's'}"


def numbers_in_words(numbers: Mapping[str, int]) -> str:
    """Numbers with their names, without those that are 0."""
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items() if number)


def event_class(task: str) -> str:
    """The domain event class that a task handles."""
    return task.removeprefix("bridge.")


def failure_in_words(failure: Failure, message_chars: int | None = None) -> str:
    """Where, what and why, with the whole message or its beginning."""
    return f"{failure.stage}: {failure.error_class}: {failure.message[:message_chars]}"
