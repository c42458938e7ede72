"""``unwritable``: which value in an event JSON cannot express, and what to give instead. Only a refusal asks; pure."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="string")
LEVELS_SHOWN_MAX = 20
"""Levels that are gone down to the value; what is deeper is told by the one above it."""
ITEMS_SEEN_MAX = 10_000
"""Items of one value that are looked through."""
NAME_CHARS_MAX = 100
"""Of a key that is part of a path."""


def unwritable(event: Any, name: str) -> str:
    """A sentence about the first value that cannot be written; empty if none is found. Repeats no value, never raises.

    Args:
        event: what the encoder refused.
        name: what it is called, where the path to the value begins.
    """
    with suppress(Exception):  # values are foreign, and so is what they run
        path, value, error = _deepest(event, name)
        if value is not event and not isinstance(error, RecursionError):
            return f"{path} {_complaint(value, error)}."
    return ""


def _deepest(value: Any, path: str) -> tuple[str, Any, Exception | None]:
    error = _error_of(value)
    for _ in range(LEVELS_SHOWN_MAX):
        found = next((one for one in _parts(value, path) if (one_error := _error_of(one[1]))), None)
        if found is None:
            break
        (path, value), error = found, one_error
    return path, value, error


def _error_of(value: Any) -> Exception | None:
    try:
        _encoder.encode(value)
    except Exception as error:  # of foreign code, too
        return error
    return None


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What a value consists of, and the path to each."""
    if isinstance(value, dict):
        named: Iterable[tuple[str, Any]] = ((f"{path}.{_shown(key)}", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        named = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    else:
        named = ((f"{path}.{field}", getattr(value, field)) for field in _fields_of(type(value)))
    for number, one in enumerate(named):
        if number >= ITEMS_SEEN_MAX:
            return
        yield one


def _fields_of(kind: type) -> Iterable[str]:
    """Of a Struct, a dataclass or an attrs class."""
    names: Iterable[str] = getattr(kind, "__struct_fields__", ()) or getattr(kind, "__dataclass_fields__", ())
    return names or [field.name for field in getattr(kind, "__attrs_attrs__", ())]


def _shown(key: object) -> str:
    return ascii(key)[1:-1][:NAME_CHARS_MAX] if isinstance(key, str) else f"<{type(key).__name__}>"


def _complaint(value: Any, error: Exception | None) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "holds a lone surrogate, which UTF-8 has no bytes for"
    if isinstance(value, dict):
        return "has a key that is no text or number; JSON has no others"
    return f"is of type {type(value).__name__}, which JSON cannot express: {_instead(value)}"


def _instead(value: Any) -> str:
    for name in ("pk", "id"):
        with suppress(Exception):  # a property of the application's
            if hasattr(value, name):
                return f"give its id, .{name}"
    return "give a text, a number, or a list or dict of such"
