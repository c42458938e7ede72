"""How values become JSON: strictly, so that nothing is changed or dropped on the way.

UUID and Decimal travel as strings and datetimes as RFC 3339, as the catalog says. What JSON cannot
express (NaN, infinities, bytes, sets, other objects) is refused instead of being bent into shape.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import msgspec

from bridge.model.bounds import LEVELS_PAYLOAD_MAX, PARSER_ERRORS, too_deep
from bridge.model.errors import PayloadError

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")

PLAIN_TYPES = frozenset({str, int, bool, type(None), UUID})
"""Values of these very types need no closer look: msgspec writes them as JSON says."""
_KEY_TYPES = frozenset({str})


def encode_payload(payload: Mapping[str, Any]) -> bytes:
    """Write ``payload`` as one line of compact UTF-8 JSON.

    Raises:
        PayloadError: the payload is no mapping, or holds what JSON cannot express; the message
            names the path to it, never the value.
    """
    if not isinstance(payload, dict | Mapping):
        raise PayloadError(f"A payload must be a dict; the extractor returned {type(payload).__name__}.")
    try:
        return _encoder.encode(payload if _is_flat(payload) else _normal(payload, path="payload", depth=0))
    except UnicodeEncodeError:
        _normal(payload, path="payload", depth=0)  # names the path
        raise
    except (TypeError, *PARSER_ERRORS) as error:
        raise PayloadError(f"The payload cannot be written as JSON: {str(error).rstrip('.')}.") from error


def _is_flat(payload: Mapping[str, Any]) -> bool:
    """Whether a payload is a dict of plain values, as nearly every one is; then nothing needs a closer look."""
    return (
        isinstance(payload, dict)
        and PLAIN_TYPES.issuperset(map(type, payload.values()))
        and _KEY_TYPES.issuperset(map(type, payload))
    )


def _normal(value: Any, *, path: str, depth: int) -> Any:
    """The value in the form in which it travels.

    Raises:
        PayloadError: it has none.
    """
    if depth > LEVELS_PAYLOAD_MAX:
        raise PayloadError(too_deep("The payload", LEVELS_PAYLOAD_MAX))
    if isinstance(value, Mapping):
        return {
            _normal_key(key, path): _normal(item, path=f"{path}.{key}", depth=depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_normal(item, path=f"{path}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    return _normal_scalar(value.value if isinstance(value, Enum) else value, path)


def _normal_key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise PayloadError(f"{path} has a key of type {type(key).__name__}; JSON keys are strings.")
    if not _is_utf8(key):
        raise PayloadError(f"{path} has a key with a lone surrogate, which UTF-8 has no bytes for.")
    return str(key)


def _normal_scalar(value: Any, path: str) -> Any:
    if isinstance(value, str):
        if not _is_utf8(value):
            raise PayloadError(f"{path} holds a lone surrogate, which UTF-8 has no bytes for.")
        return str(value)
    if (isinstance(value, float) and not isfinite(value)) or (isinstance(value, Decimal) and not value.is_finite()):
        raise _not_finite(path)
    if isinstance(value, datetime):
        return _in_utc(value, path)
    if isinstance(value, float):
        return float(value)  # a subclass, such as numpy's
    if not isinstance(value, int | Decimal | UUID | date | None):
        raise PayloadError(
            f"{path} is of type {type(value).__name__}, which JSON cannot express. Convert it in the extractor."
        )
    return value


def _not_finite(path: str) -> PayloadError:
    return PayloadError(f"{path} is not a finite number; JSON has no NaN or Infinity. Send null instead.")


def refuse_not_finite(value: Any, path: str) -> None:
    """Refuse floats that are NaN or infinite, also inside: msgspec writes them as null, without a word.

    Raises:
        PayloadError: there is one; names the path to it.
    """
    if isinstance(value, float) and not isfinite(value):
        raise _not_finite(path)
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_not_finite(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            refuse_not_finite(item, f"{path}[{index}]")


def _in_utc(moment: datetime, path: str) -> datetime:
    if moment.utcoffset() is None:
        raise PayloadError(f"{path} is a datetime without a timezone. Make it aware, in UTC.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PayloadError(f"{path} is a datetime that is out of range in UTC.") from error


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
