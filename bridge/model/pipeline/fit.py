"""Judges by types alone whether an event's values fit its class, so that none is sent that no worker can decode."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Flag
from typing import Any, cast
from uuid import UUID

import msgspec
import uuid6
from msgspec import inspect

_PLAIN: dict[type[inspect.Type], frozenset[type]] = {
    inspect.NoneType: frozenset({type(None)}),
    inspect.BoolType: frozenset({bool}),
    inspect.IntType: frozenset({int}),
    inspect.FloatType: frozenset({float}),
    inspect.StrType: frozenset({str}),
    inspect.UUIDType: frozenset({UUID, uuid6.UUID}),
    inspect.DateTimeType: frozenset({datetime}),
    inspect.DateType: frozenset({date}),
    inspect.TimeType: frozenset({time}),
    inspect.TimeDeltaType: frozenset({timedelta}),
    inspect.DecimalType: frozenset({Decimal}),
}
"""Kinds of fields, and the exact types of which every value is decoded, where the field has no constraint."""


_NOT_WRITTEN_AS_ITSELF = frozenset({msgspec.Raw, msgspec.UnsetType})
"""Types of which a field of any type takes values, and which may leave unreadable JSON."""


class FieldFit(msgspec.Struct, frozen=True):
    """What surely fits one field."""

    types: frozenset[type] = frozenset()  # exact types of which every value fits
    literals: tuple[tuple[type, frozenset[object]], ...] = ()  # exact type → values that fit, for other types
    anything: bool = False  # whether whatever can be written fits

    def allowed(self, kind: type) -> frozenset[object] | None:
        """Values of that type that fit; None if the type is not a literal's."""
        return next((values for of_type, values in self.literals if of_type is kind), None)

    def surely(self, kind: type) -> bool:
        """Whether every value of that exact type fits."""
        return kind in self.types or (self.anything and kind not in _NOT_WRITTEN_AS_ITSELF)


def field_fits(event_class: type[Any], *, aware: bool) -> tuple[FieldFit, ...]:
    """What surely fits each field of a dataclass, attrs class or Struct, in their order.

    ``aware``: every moment that is judged has a time zone.
    """
    info = cast("inspect.StructType", inspect.type_info(event_class))
    return tuple(_fit_of(field.type, aware=aware) for field in info.fields)


def _fit_of(kind: inspect.Type, *, aware: bool) -> FieldFit:
    if isinstance(kind, inspect.AnyType):
        return FieldFit(anything=True)
    if isinstance(kind, inspect.UnionType):
        return _joined([_fit_of(member, aware=aware) for member in kind.types])
    if isinstance(kind, inspect.LiteralType):
        return FieldFit(literals=_by_type(kind.values))
    if isinstance(kind, inspect.EnumType):
        return FieldFit(types=frozenset() if issubclass(kind.cls, Flag) else frozenset({kind.cls}))
    types = _PLAIN.get(type(kind), frozenset())
    return FieldFit(types=types if _is_unconstrained(kind, aware=aware) else frozenset())


def _is_unconstrained(kind: inspect.Type, *, aware: bool) -> bool:
    for name in getattr(kind, "__struct_fields__", ()):
        value = getattr(kind, name)
        if value is not None and not (name == "tz" and value is True and aware):
            return False
    return True


def _joined(fits: Sequence[FieldFit]) -> FieldFit:
    return FieldFit(
        types=frozenset().union(*(fit.types for fit in fits)),
        literals=tuple(literal for fit in fits for literal in fit.literals),
        anything=any(fit.anything for fit in fits),
    )


def _by_type(values: Sequence[object]) -> tuple[tuple[type, frozenset[object]], ...]:
    types = {type(value) for value in values}
    return tuple((kind, frozenset(value for value in values if type(value) is kind)) for kind in types)


def misfit_of(decoder: "msgspec.json.Decoder[Any]", data: bytes) -> str:
    """Why a class's decoder does not take JSON of an event of that class; empty if it does."""
    try:
        decoder.decode(data)
    except msgspec.MsgspecError as error:
        return str(error)
    except Exception as error:  # the class's own code
        return f"{type(error).__name__} when it is made"
    return ""


def fields_of_text(event_class: type[Any]) -> tuple[str, ...]:
    """Names of the fields that take text, in whatever depth: where Base64 may be read as something else than bytes."""
    info = cast("inspect.StructType", inspect.type_info(event_class))
    return tuple(field.name for field in info.fields if _takes_text(field.type))


def _takes_text(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(map(_takes_text, kind.types))
    return type(kind) not in _PLAIN or isinstance(kind, inspect.StrType | inspect.DecimalType)


def bytes_misfit(event: Any, event_class: type[Any], texts: object) -> str:
    """Where an event holds bytes and its class wants something else; empty if nowhere.

    JSON has them as Base64, which is as good as any other text to a decoder. In a field of type Any they stay that.
    ``texts`` are the values of the class's ``fields_of_text``.
    """
    try:
        packed = _packer.encode(texts)
    except Exception:  # an integer of more than 64 bits
        packed = b"\xc4"
    # What begins bytes in MessagePack; it may also stand in text.
    if not (0xC4 in packed or 0xC5 in packed or 0xC6 in packed):
        return ""
    try:
        plain = msgspec.to_builtins(event, builtin_types=_BYTES, str_keys=True)
        msgspec.convert(plain, event_class, builtin_types=_BYTES, str_keys=True)
    except msgspec.ValidationError as error:
        return str(error) if any(f"got `{kind.__name__}`" in str(error) for kind in _BYTES) else ""
    except Exception:  # the class's own code, which has taken the event as it travels
        return ""
    return ""


_packer = msgspec.msgpack.Encoder(decimal_format="string")
_BYTES = (bytes, bytearray, memoryview)


def is_written_by_name(event_class: type[Any]) -> bool:
    """Whether an event's JSON is an object of its fields and nothing else.

    A Struct can be set to differ. Of an attrs class private fields are not written, but all else that an instance has.
    """
    if hasattr(event_class, "__attrs_attrs__"):
        names = (field.name for field in event_class.__attrs_attrs__)
        return event_class.__dictoffset__ == 0 and not any(name.startswith("_") for name in names)
    config = getattr(event_class, "__struct_config__", None)
    return config is None or not (config.tag is not None or config.array_like or config.omit_defaults)
