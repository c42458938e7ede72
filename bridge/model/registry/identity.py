"""``CatalogIdentity``: a short name of what a catalog does, so that processes can tell whether they have the same one.

Two hashes: of the tables, the events' classes and their fields; and of the extractors' code as it was loaded, which can
be compared only under one version of Python. What an extractor calls in its own package belongs to its code.
"""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from bridge.model.registry.metadata import DomainToSSEMapping
from bridge.model.registry.registry import Registry

HASH_CHARS = 10
FUNCTIONS_MAX = 2_000
"""Functions that are followed from all extractors together."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class CatalogIdentity(msgspec.Struct, frozen=True):
    """What can be compared."""

    shape: str  # hash of types, categories, fields, classes and rules
    code: str  # hash of the extractors' code
    python: str  # under which the code was compiled

    def __str__(self) -> str:
        return f"{self.shape}.{self.code}.{self.python}"

    @classmethod
    def parse(cls, text: str) -> "CatalogIdentity | None":
        """Reads ``str(identity)``; None if it is not one."""
        shape, _, rest = text.partition(".")
        code, _, python = rest.partition(".")
        return cls(shape, code, python) if shape and code and python else None

    def difference(self, other: "CatalogIdentity") -> str:
        """What differs, as a noun; empty if nothing does, as far as can be told."""
        if self.shape != other.shape:
            return "another catalog"
        if self.python == other.python and self.code != other.code:
            return "other code in its extractors"
        return ""


def identity_of(registry: Registry) -> CatalogIdentity:
    """The identity of a registry as this process has loaded it. Takes some milliseconds; never raises."""
    shape, code = hashlib.sha256(), hashlib.sha256()
    follower = _Follower()
    if registry.users.kind is not UUID or registry.topics:
        topics = [(topic.name, topic.kind.__name__) for topic in registry.topics]
        shape.update(f"addresses {registry.users.kind.__name__} {topics!r}\n".encode())
    for meta in registry.events:
        row = (meta.event_type.value, meta.category.value, tuple(meta.payload_fields))
        shape.update(f"event {row!r}\n".encode())
        if meta.payload is not None:
            shape.update(f"payload {_type_words(meta.payload)}\n".encode())
            hints = _fields_of(get_origin(meta.payload) or meta.payload)
            shape.update(f"payload {[(name, _type_words(hint)) for name, hint in hints]!r}\n".encode())
    for mapping in registry.mappings:
        retention = registry.retention_of(mapping.sse_event_type)
        if retention:
            shape.update(f"{retention!r}\n".encode())
        for word in _shape_of(mapping):
            shape.update(f"{word}\n".encode())
        for word in follower.words_of(mapping):
            code.update(f"{word}\n".encode())
    return CatalogIdentity(shape.hexdigest()[:HASH_CHARS], code.hexdigest()[:HASH_CHARS], PYTHON)


def _shape_of(mapping: DomainToSSEMapping) -> Iterator[str]:
    domain_class = mapping.domain_event_class
    staleness = mapping.staleness
    yield f"mapping {domain_class.__qualname__} {mapping.sse_event_type.value} {mapping.audience_words}"
    yield f"retry {mapping.retry!r} staleness {type(staleness).__name__} {getattr(staleness, 'after_s', '')!r}"
    for name, hint in _fields_of(domain_class):
        yield f"field {name} {_type_words(hint)}"


def _fields_of(domain_class: type[Any]) -> list[tuple[str, Any]]:
    try:
        return sorted(get_type_hints(domain_class).items())
    except Exception:  # a hint that cannot be resolved is told as it stands
        return sorted(
            {
                name: hint
                for kind in domain_class.__mro__
                for name, hint in vars(kind).get("__annotations__", {}).items()
            }.items()
        )


def _type_words(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"{hint.__qualname__}{[(member.name, _constant(member.value)) for member in hint]!r}"
    arguments = get_args(hint)
    if arguments:
        origin = getattr(hint, "__origin__", None) or type(hint)
        return f"{getattr(origin, '__qualname__', origin)}[{', '.join(map(_type_words, arguments))}]"
    return hint.__qualname__ if isinstance(hint, type) else _constant(hint)


class _Follower:
    """Follows functions into what they call in their own package; each is told once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def words_of(self, mapping: DomainToSSEMapping) -> Iterator[str]:
        """What is hashed of a mapping's code: extractors, staleness, the event class's methods, and what these call."""
        yield f"mapping {mapping.domain_event_class.__qualname__}"
        named = (getattr(mapping, one.name) for one in fields(mapping) if one.name.endswith("_extractor"))
        extractors = [one for one in named if one is not None]  # what a mapping does without is no code of it
        if callable(mapping.audience):
            extractors.append(mapping.audience)
        for place in (*extractors, getattr(mapping.staleness, "key", None)):
            yield from self._value(place)
        for name, member in sorted(vars(mapping.domain_event_class).items()):
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and not name.startswith("__"):
                yield from self._function(function)

    def _value(self, value: Any) -> Iterator[str]:
        if isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, MethodType):
            yield from self._value(value.__func__)
        elif isinstance(value, partial):
            yield f"partial {_constant(value.args)} {_constant(tuple(sorted(value.keywords.items())))}"
            yield from self._value(value.func)
        else:
            call = vars(type(value)).get("__call__")
            yield _constant(value)
            if isinstance(call, FunctionType):
                yield from self._function(call)

    def _function(self, function: FunctionType) -> Iterator[str]:
        if id(function) in self._seen or len(self._seen) >= FUNCTIONS_MAX:
            yield function.__qualname__
            return
        self._seen.add(id(function))
        yield f"function {function.__qualname__} {_constant(function.__defaults__)}"
        yield from _code_words(function.__code__)
        for cell in function.__closure__ or ():
            try:
                yield from self._value(cell.cell_contents)
            except ValueError:  # not filled
                continue
        package = (function.__module__ or "").partition(".")[0]
        for name in sorted(_names_in(function.__code__)):
            used = function.__globals__.get(name)
            if isinstance(used, FunctionType) and (used.__module__ or "").partition(".")[0] == package:
                yield from self._function(used)


def _names_in(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _code_words(code: CodeType) -> Iterator[str]:
    yield f"code {code.co_code.hex()} {code.co_names!r} {code.co_varnames!r}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_words(constant)
        else:
            yield _constant(constant)


def _constant(value: Any) -> str:
    """A value in words that are the same in every process; of what may hold an address, only its type."""
    if value is None or isinstance(value, str | bytes | bool | int | float | complex):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_constant, value))}]"
    if isinstance(value, frozenset | set):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_constant(key)}: {_constant(item)}' for key, item in value.items()))}}}"
    if isinstance(value, type):
        return value.__qualname__
    words = repr(value) if type(value).__module__ in ("operator", "decimal", "datetime", "uuid") else ""
    return words or type(value).__qualname__
