"""Sample events built from a class's type hints: every kind of value that the hints allow occurs in one of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import inspect

_SAMPLE_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
_SAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)

_ANYTHING = object()
"""Stands in a sample where a hint allows whatever JSON can carry."""
_SCALARS: dict[type[inspect.Type], Any] = {
    inspect.UUIDType: _SAMPLE_ID,
    inspect.DecimalType: Decimal("12.34"),
    inspect.BytesType: b"sample",
    inspect.ByteArrayType: b"sample",
    inspect.DateType: _SAMPLE_TIME.date(),
    inspect.TimeType: time(12, tzinfo=UTC),
    inspect.TimeDeltaType: timedelta(seconds=90),
    inspect.AnyType: _ANYTHING,
    inspect.RawType: msgspec.Raw(b'"sample"'),
    inspect.NoneType: None,
}
JSON_VALUES: tuple[Any, ...] = ("sample", ["sample"], {"sample": 1}, 1, 1.5, True)
"""What is tried where a hint allows anything."""
_RECORDS = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType)
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
_ALWAYS_SET = frozenset({"event_id", "occurred_at"})
"""Fields of an event that no producer may leave out, whatever their hints allow."""

MAX_DEPTH = 8
"""Levels of records and collections in a sample; a class that contains itself ends at half of them."""
CHOICES_MAX = 64
"""Values tried for one field."""
SAMPLES_MAX = 256
"""Samples of one class."""


class CannotSampleError(Exception):
    """No sample can be made: a field's type is not understood, or the class refuses what was made."""


class UnwritableTypeError(CannotSampleError):
    """A field is of a type that JSON cannot carry, so that no such event could travel."""


class Sample(NamedTuple):
    """A sample event."""

    event: Any  # an event of the class
    special: str  # what is special about it, as ``field=value``; empty for the typical one


class _Choice(NamedTuple):
    value: Any
    special: str = ""


def sample_event(event_class: type[Any], *, anything: object = "sample") -> Any:
    """An instance of ``event_class`` with a plausible value in every field; ``anything`` where a field may hold that.

    Raises:
        CannotSampleError: a field's type is not understood, or the class refuses the sample.
    """
    return next(sample_events(event_class, anything=anything)).event


def sample_events(event_class: type[Any], *, anything: object = "sample") -> Iterator[Sample]:
    """The typical event; then one for each other kind of value that a field may have; then one with all of them None.

    Kinds are: None where it is allowed, each choice of a union, each member of an enum, collections without
    anything in them, a field that is left out where it may be, and all these within records. Values that the
    class itself refuses are left out.

    Raises:
        CannotSampleError: a field's type is not understood, or the class refuses the typical sample.
    """
    try:
        first, *others = _records(inspect.type_info(event_class), 0)
        typical = msgspec.convert(_filled(first.value, anything), event_class)
    except (TypeError, ValueError, NotImplementedError, NameError, msgspec.MsgspecError) as error:
        raise CannotSampleError(str(error)) from error
    yield Sample(typical, "")
    for choice in others[:SAMPLES_MAX]:
        try:
            event = msgspec.convert(_filled(choice.value, anything), event_class)
        except Exception:  # noqa: S112  (the class looks at its values, with code of its own)
            continue
        yield Sample(_with_defaults(event), choice.special)


def _filled(value: Any, anything: object) -> Any:
    """With a value where any may stand."""
    if isinstance(value, dict):
        return {_filled(key, anything): _filled(item, anything) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, anything) for item in value]
    return anything if value is _ANYTHING else value


def _with_defaults(event: Any) -> Any:
    """As its own constructor makes it: msgspec leaves a dataclass's plain defaults with the class, and writes none."""
    if not is_dataclass(event) or not hasattr(event, "__dict__"):
        return event
    for field in fields(event):
        if field.name not in vars(event) and hasattr(event, field.name):
            object.__setattr__(event, field.name, getattr(event, field.name))
    return event


def _records(info: Any, depth: int) -> list[_Choice]:
    """The fields of a record: all typical; then one other, or left out, at a time; then None wherever it is allowed."""
    if not isinstance(info, _RECORDS):
        raise CannotSampleError("it is no dataclass, attrs class or msgspec Struct")
    choices = {field.encode_name: _field_choices(field, depth) for field in info.fields}
    tag = {info.tag_field: info.tag} if isinstance(info, inspect.StructType) and info.tag_field else {}
    typical = {**tag, **{name: first.value for name, (first, *_) in choices.items()}}
    made = [_Choice(typical)]
    for name, (_, *others) in choices.items():
        made += [_Choice({**typical, name: other.value}, _named(name, other.special)) for other in others]
    for field in info.fields:
        if not field.required and not (depth == 0 and field.name in _ALWAYS_SET):
            rest = {name: value for name, value in typical.items() if name != field.encode_name}
            made.append(_Choice(rest, _named(field.encode_name, "left out")))
    empty = {name: None for name, found in choices.items() if any(choice.value is None for choice in found)}
    if len(empty) > 1:
        made.append(_Choice({**typical, **empty}, f"{', '.join(empty)}=None"))
    return made


def _named(name: str, special: str) -> str:
    """``a=None``, or ``a.b=None`` for a field of a record within."""
    return f"{name}.{special}" if "=" in special else f"{name}={special}"


def _field_choices(field: inspect.Field, depth: int) -> list[_Choice]:
    try:
        found = _choices(field.type, depth + 1)
    except CannotSampleError as error:
        raise type(error)(f"field {field.name}: {error}") from None
    return found[:1] if depth == 0 and field.name in _ALWAYS_SET else found[:CHOICES_MAX]


def _choices(info: inspect.Type, depth: int) -> list[_Choice]:
    """Values for a type hint, the typical one first."""
    if depth > MAX_DEPTH:
        raise CannotSampleError("it nests too deeply")
    for kinds, make in _MAKERS:
        if isinstance(info, kinds):
            return make(info, depth)
    if type(info) in _SCALARS:
        return [_Choice(_SCALARS[type(info)], "None" if isinstance(info, inspect.NoneType) else "")]
    raise CannotSampleError(f"no sample is known for the type {type(info).__name__.removesuffix('Type')}")


def _of_union(info: inspect.UnionType, depth: int) -> list[_Choice]:
    kinds = sorted(info.types, key=lambda kind: isinstance(kind, inspect.NoneType))
    if depth > MAX_DEPTH // 2 and isinstance(kinds[-1], inspect.NoneType):
        return [_Choice(None, "None")]  # a record that may contain itself ends here
    groups = [
        [
            _Choice(c.value, c.special or (type(c.value).__name__ if c.value is not None else "None"))
            for c in _choices(kind, depth)
        ]
        for kind in kinds
    ]
    return list(chain.from_iterable(groups))


def _of_list(info: Any, depth: int) -> list[_Choice]:
    least = info.min_length or 0
    empty = [] if least else [_Choice([], "empty")]
    if depth > MAX_DEPTH // 2 and empty:
        return empty
    items = _choices(info.item_type, depth + 1)
    return [_Choice([item.value] * max(least, 1), item.special) for item in items] + empty


def _row(kinds: Iterable[inspect.Type], depth: int) -> list[_Choice]:
    columns = [_choices(kind, depth + 1) for kind in kinds]
    typical = [column[0].value for column in columns]
    others = (
        _Choice([*typical[:at], other.value, *typical[at + 1 :]], f"[{at}]={other.special}")
        for at, column in enumerate(columns)
        for other in column[1:]
    )
    return [_Choice(typical), *islice(others, CHOICES_MAX)]


def _of_dict(info: inspect.DictType, depth: int) -> list[_Choice]:
    empty = [] if info.min_length else [_Choice({}, "empty")]
    if depth > MAX_DEPTH // 2 and empty:
        return empty
    key = _choices(info.key_type, depth + 1)[0].value
    return [_Choice({key: item.value}, item.special) for item in _choices(info.value_type, depth + 1)] + empty


def _of_number(info: inspect.IntType | inspect.FloatType, _: int) -> list[_Choice]:
    bounds = (info.ge, info.le, None if info.gt is None else info.gt + 1, None if info.lt is None else info.lt - 1)
    return [_Choice(next((bound for bound in bounds if bound is not None), 1))]


def _of_text(info: inspect.StrType, _: int) -> list[_Choice]:
    return [_Choice("sample".ljust(info.min_length or 0, "x")[: info.max_length])]


def _of_custom(info: inspect.CustomType, _: int) -> list[_Choice]:
    """Such a class is not decoded: what JSON gives is taken, if it is an instance, as of Iterable or object."""
    try:
        found = [value for value in JSON_VALUES if isinstance(value, info.cls)]
    except TypeError as error:
        raise CannotSampleError(f"nothing can be told of a {info.cls.__name__}: {error}") from None
    if not found:
        raise UnwritableTypeError(f"JSON cannot carry a {info.cls.__name__}")
    return [_Choice(_ANYTHING if len(found) == len(JSON_VALUES) else found[0])]


def _of_moment(info: inspect.DateTimeType, _: int) -> list[_Choice]:
    return [_Choice(_SAMPLE_TIME.replace(tzinfo=None) if info.tz is False else _SAMPLE_TIME)]


_MAKERS: tuple[tuple[Any, Callable[[Any, int], list[_Choice]]], ...] = (
    (inspect.Metadata, lambda info, depth: _choices(info.type, depth)),
    (inspect.UnionType, _of_union),
    (inspect.EnumType, lambda info, _: [_Choice(member.value, member.name) for member in info.cls]),
    (inspect.LiteralType, lambda info, _: [_Choice(value, repr(value)) for value in info.values]),
    (_RECORDS, _records),
    (_LISTS, _of_list),
    (inspect.TupleType, lambda info, depth: _row(info.item_types, depth)),
    (inspect.NamedTupleType, lambda info, depth: _row([field.type for field in info.fields], depth)),
    (inspect.DictType, _of_dict),
    ((inspect.IntType, inspect.FloatType), _of_number),
    (inspect.StrType, _of_text),
    (inspect.BoolType, lambda _, __: [_Choice(True, "True"), _Choice(False, "False")]),
    (inspect.DateTimeType, _of_moment),
    (inspect.CustomType, _of_custom),
)


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
