"""How a payload becomes JSON: strictly, so that nothing is changed or dropped on the way.

UUID and Decimal travel as strings and datetimes as RFC 3339, as the catalog says. What JSON cannot
express (NaN, infinities, bytes, sets, other objects) is refused instead of being bent into shape.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import msgspec

from bridge.errors import PayloadError


def _plain(value: Any) -> Any:
    """Turn what is a str or Mapping only by inheritance into the real thing."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be expressed")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="string", uuid_format="canonical")

#: Values of these very types need no closer look: msgspec writes them as JSON says.
_PLAIN_TYPES = frozenset({str, int, bool, type(None), UUID})

MAX_DEPTH = 64
"""Nesting levels that a payload may have."""


def encode_payload(payload: Mapping[str, Any]) -> bytes:
    """Write ``payload`` as one line of compact UTF-8 JSON.

    Raises:
        PayloadError: the payload is no mapping, or holds what JSON cannot express; the message
            names the path to it, never the value.
    """
    if not _PLAIN_TYPES.issuperset(map(type, payload.values() if isinstance(payload, dict) else (payload,))):
        if not isinstance(payload, Mapping):
            raise PayloadError(f"A payload must be a dict; the extractor returned {type(payload).__name__}.")
        _check(payload, path="payload", depth=0)
    try:
        return _encoder.encode(payload)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise PayloadError(f"The payload cannot be written as JSON: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Why an encoder refused, without quoting what it refused."""
    if isinstance(error, UnicodeEncodeError):
        return "a string holds a lone surrogate, which UTF-8 has no bytes for"
    return str(error).rstrip(".")


def _check(value: Any, *, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise PayloadError(f"The payload is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise PayloadError(f"{path} has a key of type {type(key).__name__}; JSON keys are strings.")
            _check(item, path=f"{path}.{key}", depth=depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, path=f"{path}[{index}]", depth=depth + 1)
    else:
        _check_scalar(value, path)


def _check_scalar(value: Any, path: str) -> None:
    if isinstance(value, float | Decimal) and not isfinite(value):
        raise PayloadError(f"{path} is not a finite number; JSON has no NaN or Infinity. Send null instead.")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise PayloadError(f"{path} is a datetime without a timezone. Make it aware, in UTC.")
    if not isinstance(value, str | int | float | Decimal | UUID | date | Enum | None):
        raise PayloadError(
            f"{path} is of type {type(value).__name__}, which JSON cannot express. Convert it in the extractor."
        )
