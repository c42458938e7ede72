"""Sample events built from a class's type hints, to hold extractors to their payload contract."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

_SAMPLE_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
_SAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)

_SCALARS: dict[type[inspect.Type], Any] = {
    inspect.UUIDType: _SAMPLE_ID,
    inspect.DateTimeType: _SAMPLE_TIME,
    inspect.DecimalType: Decimal("12.34"),
    inspect.BoolType: True,
    inspect.BytesType: b"sample",
    inspect.DateType: _SAMPLE_TIME.date(),
    inspect.AnyType: "sample",
    inspect.NoneType: None,
}
_RECORDS = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType)
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
MAX_DEPTH = 8


class CannotSampleError(Exception):
    """The class has a field of a type that no sample is known for."""


def sample_event(event_class: type[Any]) -> Any:
    """An instance of ``event_class`` with a plausible value in every field.

    Raises:
        CannotSampleError: a field's type is not understood, or the class refuses the sample.
    """
    try:
        fields = _record(inspect.type_info(event_class), depth=0)
        return msgspec.convert(fields, event_class)
    except (TypeError, ValueError, NotImplementedError, NameError, msgspec.MsgspecError) as error:
        raise CannotSampleError(str(error)) from error


def _record(info: Any, *, depth: int) -> dict[str, Any]:
    if not isinstance(info, _RECORDS):
        raise CannotSampleError("it is no dataclass, attrs class or msgspec Struct")
    return {field.encode_name: _value(field.type, depth=depth + 1) for field in info.fields}


def _value(info: inspect.Type, *, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CannotSampleError("its fields nest too deeply")
    if isinstance(info, inspect.Metadata):
        return _value(info.type, depth=depth)
    if isinstance(info, inspect.UnionType):
        return _value(info.types[0], depth=depth)
    if isinstance(info, inspect.EnumType):
        member: Enum = next(iter(info.cls))
        return member.value
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, _RECORDS):
        return _record(info, depth=depth)
    if isinstance(info, _LISTS):
        return [_value(info.item_type, depth=depth + 1)]
    return _bounded_scalar(info, depth=depth)


def _bounded_scalar(info: inspect.Type, *, depth: int) -> Any:
    if isinstance(info, inspect.TupleType):
        return [_value(item, depth=depth + 1) for item in info.item_types]
    if isinstance(info, inspect.DictType):
        return {"sample": _value(info.value_type, depth=depth + 1)}
    if isinstance(info, inspect.IntType | inspect.FloatType):
        bounds = (
            info.ge,
            info.le,
            None if info.gt is None else info.gt + 1,
            None if info.lt is None else info.lt - 1,
        )
        return next((bound for bound in bounds if bound is not None), 1)
    if isinstance(info, inspect.StrType):
        return "sample".ljust(info.min_length or 0, "x")[: info.max_length]
    if type(info) in _SCALARS:
        return _SCALARS[type(info)]
    raise CannotSampleError(f"no sample is known for a field of type {type(info).__name__}")
