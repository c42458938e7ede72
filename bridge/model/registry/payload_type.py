"""A type that is declared of a payload: which keys it has, and whether a payload is one. Pure."""

from typing import Any, get_origin

import msgspec

_KINDS = "a TypedDict, a dataclass, an attrs class or a msgspec Struct"


def keys_of(declared: object) -> dict[str, bool]:
    """The keys of such a payload in JSON, in order → whether each must be there.

    Raises:
        ValueError: it is no type of an object with named keys, or its hints cannot be read.
    """
    from msgspec import inspect  # a process whose catalog declares none does without

    try:
        info = inspect.type_info(declared)
    except (TypeError, NotImplementedError, NameError) as error:
        raise ValueError(f"it cannot be read: {error}") from None
    known = inspect.TypedDictType | inspect.DataclassType | inspect.StructType
    if not isinstance(info, known) or getattr(info, "array_like", False):
        raise ValueError(f"it must be {_KINDS}, not {declared!r}")
    keys = {field.encode_name: field.required for field in info.fields}
    if isinstance(info, inspect.TypedDictType):  # of which msgspec sorts the keys
        return {name: keys[name] for name in (get_origin(info.cls) or info.cls).__annotations__}
    tag = getattr(info, "tag_field", None)
    return {tag: True, **keys} if tag else keys


def schema_fault(declared: Any) -> str:
    """Why JSON has no such objects; empty if it has."""
    try:
        msgspec.json.schema(declared)
    except Exception as error:  # hints are foreign, and hooks of theirs may raise anything
        return str(error).rpartition("\n")[2]
    return ""


def mismatch(payload: bytes, declared: Any) -> str:
    """What of a payload's JSON is not of the declared type, and where; empty if all is."""
    try:
        msgspec.json.decode(payload, type=declared)
    except Exception as error:  # a declared class may have code of its own
        return str(error)
    return ""


def is_of_wrong_kind(found: str) -> bool:
    """Whether a mismatch is one of types, as a text for a number is; and not of a value, its length or its format."""
    return "got `" in found
