"""Every way in which a registry can be wrong, found in one pass and said in one sentence each."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum, StrEnum
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from msgspec import inspect

from bridge.model.errors import IdError, RegistryError
from bridge.model.plain_text import one_line
from bridge.model.registry.addresses import AddressBook, Topic
from bridge.model.registry.contract import class_name, sample_faults
from bridge.model.registry.identifiers import UUIDS, IdType
from bridge.model.registry.metadata import (
    MAX_CLASS_NAME_LENGTH,
    RESERVED_PREFIX,
    RETENTIONS_MAX,
    Audience,
    DomainToSSEMapping,
    DropAfter,
    Retention,
    RetryPolicy,
    SSEEventMetadata,
    Supersede,
    is_category_name,
    is_wire_name,
)
from bridge.model.registry.payload_type import schema_fault

T = TypeVar("T")
_REQUIRED_FIELDS: dict[str, type[inspect.Type]] = {
    "event_id": inspect.UUIDType,
    "occurred_at": inspect.DateTimeType,
}


_Judge: TypeAlias = Callable[[Any], bool]


def _is_a(*kinds: type) -> _Judge:
    return lambda value: isinstance(value, kinds)


def _is_member(value: Any) -> bool:
    return isinstance(value, Enum) and isinstance(value.value, str)


def _extractor(cell: Field[Any]) -> tuple[_Judge, str]:
    if cell.default is MISSING:
        return callable, "a function of the event"
    return lambda value: value is None or callable(value), "a function of the event, or None"


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except Exception:  # a foreign class may raise anything
        return False
    return True


_ROWS: dict[str, tuple[str, _Judge, str]] = {
    "event_types": ("type", _is_member, "a StrEnum, or members of some"),
    "categories": ("category", _is_member, "a StrEnum, or members of some"),
    "events": ("metadata", _is_a(SSEEventMetadata), "rows of SSEEventMetadata"),
    "mappings": ("mapping", _is_a(DomainToSSEMapping), "rows of DomainToSSEMapping"),
    "topics": ("topic", _is_a(Topic), "Topic(name, kind)"),
}
"""Each argument that holds rows: what a row is called, how one is told, and what the argument takes."""
_CELLS: dict[str, dict[str, tuple[_Judge, str]]] = {
    "events": {
        "event_type": (_is_hashable, "a member of event_types"),
        "description": (_is_a(str), "a text"),
        "payload_fields": (lambda names: all(isinstance(name, str) for name in names), "names"),
        "retention": (_is_a(Retention, NoneType), "a Retention, or None"),
    },
    "mappings": {
        "domain_event_class": (_is_hashable, "a class"),
        "sse_event_type": (_is_hashable, "a member of event_types"),
        **{cell.name: _extractor(cell) for cell in fields(DomainToSSEMapping) if cell.name.endswith("_extractor")},
        "retry": (_is_a(RetryPolicy, NoneType), "a RetryPolicy, or None"),
        "example": (lambda value: value is None or callable(value), "a function, or None"),
        "staleness": (_is_a(DropAfter, Supersede, NoneType), "DropAfter, Supersede or None"),
    },
}
"""What stands in the rows, as far as the other faults could not be looked for if it were something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """The raw tables of a registry, before they are validated."""

    event_types: tuple[StrEnum, ...]
    categories: tuple[StrEnum, ...]
    events: tuple[SSEEventMetadata, ...]
    mappings: tuple[DomainToSSEMapping, ...]
    user_id: type
    topics: tuple[Topic, ...]
    retention: Mapping[StrEnum, Retention]

    @classmethod
    def of(cls, *, user_id: type, retention: Mapping[StrEnum, Retention], **given: Any) -> "Tables":
        """The tables as they were given.

        Raises:
            RegistryError: something is of a type of which nothing else can be judged; all such faults are listed.
        """
        faults = []
        for name, rows in given.items():
            try:
                given[name] = tuple(rows)
            except TypeError:
                word, _, form = _ROWS[name]
                faults.append(f"{word} of the wrong type: {name}= takes {form}, not {type(rows).__name__}.")
            else:
                faults += _wrong_rows(name, given[name])
        if not isinstance(retention, Mapping) or not all(isinstance(one, Retention) for one in retention.values()):
            faults.append("retention of the wrong type: retention= takes a dict of category → Retention(name, …).")
        if faults:
            raise RegistryError(faults=tuple(faults))
        return cls(user_id=user_id, retention=dict(retention), **given)

    def retentions(self) -> dict[StrEnum, Retention]:
        """Event type → its class of retention, of those that have one."""
        found = {}
        for meta in self.events:
            of_category = (one for category, one in self.retention.items() if category is meta.category)
            retention = meta.retention or next(of_category, None)
            if retention:
                found[meta.event_type] = retention
        return found


def _wrong_rows(name: str, rows: Sequence[Any]) -> Iterator[str]:
    word, is_one, form = _ROWS[name]
    strangers = [row for row in rows if not is_one(row)]
    if strangers:
        yield f"{word} of the wrong type: {name}= takes {form}, not {type(strangers[0]).__name__}."
        return
    for row in rows:
        for cell, (fits, takes) in _CELLS.get(name, {}).items():
            value = getattr(row, cell)
            if not fits(value):
                of = class_name(row) if isinstance(row, DomainToSSEMapping) else str(_wire_name(row.event_type))
                yield f"{word} of the wrong type: {cell} of {of} must be {takes}, not {type(value).__name__}."


def find_faults(tables: Tables) -> tuple[str, ...]:
    """All faults of the tables, in reading order; empty when the registry is valid.

    Runs every extractor once on a sample event. One that raises there is not a fault (it may need data that a
    sample does not have); what it returns is, if it could never be published.
    """
    return (
        *_address_faults(tables),
        *_type_faults(tables),
        *_metadata_faults(tables),
        *_retention_faults(tables),
        *_mapping_faults(tables),
    )


def unlike_users(registries: Sequence[tuple[Sequence[StrEnum], IdType]]) -> tuple[str, ...]:
    """Why registries, of which the types and the users are given, cannot become one: these ids are of two kinds."""
    return tuple(
        f"users of two kinds: beside {_names_of(types)} a user is {users.form}, "
        f"beside {_names_of(others)} {others_users.form}; give both registries the same user_id=."
        for types, users in registries[:1]
        for others, others_users in registries
        if others_users != users
    )


def unlike_retentions(registries: Sequence[Mapping[StrEnum, Retention]]) -> Iterator[str]:
    """Why registries, of which the retentions are given, cannot become one: they keep one category in two ways."""
    given = {kept for retention in registries for kept in retention.items()}
    for category, count in Counter(category for category, _ in given).items():
        if count > 1:
            yield f"{count} retentions of one category: {category.value} is kept in as many ways; keep one."


def _address_faults(tables: Tables) -> Iterator[str]:
    try:
        IdType.of(tables.user_id)
    except IdError as error:
        yield f"illegal user_id: {error}"
    for name, topics in _namesakes(tables.topics, lambda topic: topic.name):
        kinds = " and ".join(f"Topic({name!r}, {topic.kind.__name__})" for topic in topics)
        yield f"one name for two topics: {kinds} are given; keep one."


def _type_faults(tables: Tables) -> Iterator[str]:
    registered = {meta.event_type for meta in tables.events}
    for what, members in (("type", tables.event_types), ("category", tables.categories)):
        for name, given in _namesakes(members, _wire_name):
            yield f"one name for two members: the {what} {name!r} is {_both(map(_full_name, given))}; keep one."
    for event_type in tables.event_types:
        if event_type not in registered:
            yield f"type without metadata: {event_type.name} has no row in the event table; add one."
    for category in tables.categories:
        if not is_category_name(category.value):
            yield f"illegal category name: {category.value!r}; use one lowercase segment such as 'orders'."


def _metadata_faults(tables: Tables) -> Iterator[str]:
    for name, rows in _namesakes(tables.events, lambda meta: _wire_name(meta.event_type)):
        if len({id(meta.event_type) for meta in rows}) == 1:  # two members of one name are named as such
            yield f"duplicate type: {name} has {len(rows)} rows of metadata; keep one."
    for meta in tables.events:
        yield from _one_metadata_faults(meta, tables)


def _one_metadata_faults(meta: SSEEventMetadata, tables: Tables) -> Iterator[str]:
    name = _wire_name(meta.event_type)
    if not _is_one_of(meta.event_type, tables.event_types):
        yield f"metadata without type: {name} is not a member of {_names_of(tables.event_types)}; add it there."
    if not is_wire_name(name):
        yield f"illegal wire name: {name!r}; use 2 or 3 lowercase segments joined by dots, such as 'order.paid'."
    elif name.startswith(RESERVED_PREFIX):
        yield f"reserved wire name: {name}; 'stream.' belongs to the bridge's own control events."
    if not _is_one_of(meta.category, tables.categories):
        yield f"unknown category: {meta.category!r} of {name} is not a member of {_names_of(tables.categories)}."
    if meta.payload is not None and (fault := schema_fault(meta.payload)):
        yield f"payload type that JSON cannot carry: {_name_of(meta.payload)} of {name}: {fault}."
    for field_name, count in Counter(meta.payload_fields).items():
        if count > 1:
            yield f"duplicate payload field: {name} names {field_name!r} {count} times."


def _retention_faults(tables: Tables) -> Iterator[str]:
    for category in tables.retention:
        if not _is_one_of(category, tables.categories):
            yield f"retention of an unknown category: {category!r} is not a member of {_names_of(tables.categories)}."
    classes = set(tables.retentions().values())
    for name, count in Counter(one.name for one in classes).items():
        if count > 1:
            yield f"one name for {count} retentions: those called {name!r} differ; give each class a name of its own."
    if len(classes) > RETENTIONS_MAX:
        yield f"too many retentions: {len(classes)} classes are declared; {RETENTIONS_MAX} at most can be read at once."


def _mapping_faults(tables: Tables) -> Iterator[str]:
    # By identity: members of two enums are equal if their values are.
    metadata = {id(meta.event_type): meta for meta in tables.events}
    for event_class, rows in _namesakes(tables.mappings, lambda mapping: mapping.domain_event_class):
        told = _both(_full_name(mapping.sse_event_type) for mapping in rows)
        yield f"two mappings for one class: {_full_name(event_class)} is mapped to {told}; keep one."
    classes = dict.fromkeys(mapping.domain_event_class for mapping in tables.mappings)
    for name, given in _namesakes(classes, _name_of):
        yield f"one name for two classes: {_both(map(_full_name, given))} are one task, bridge.{name}; rename one."
    # Where the addresses have faults, the mappings cannot be held to them.
    book = (
        AddressBook(UUIDS, ())
        if any(_address_faults(tables))
        else AddressBook(IdType.of(tables.user_id), tables.topics)
    )
    for mapping in tables.mappings:
        yield from _one_mapping_faults(mapping, metadata.get(id(mapping.sse_event_type)), book)


def _one_mapping_faults(mapping: DomainToSSEMapping, meta: SSEEventMetadata | None, book: AddressBook) -> Iterator[str]:
    name = one_line(class_name(mapping), chars_max=MAX_CLASS_NAME_LENGTH)
    shape = _shape_fault(mapping.domain_event_class)
    if shape:
        yield f"illegal domain event: {name} {shape}"
        return
    if meta is None:
        yield f"mapping to an unknown type: {name} publishes {mapping.sse_event_type!r}, which has no metadata."
        return
    yield from sample_faults(mapping, meta, book)
    if mapping.audience is Audience.USER and mapping.user_id_extractor is None:
        yield f"no recipient: {name} has no user_id_extractor, and no audience that says who is told instead."
    if not isinstance(mapping.audience, Audience) and not callable(mapping.audience):
        yield (
            f"audience of {name} must be Audience.USER, Audience.BROADCAST, or a function that returns addresses, "
            f"not {mapping.audience!r}."
        )


def _shape_fault(event_class: object) -> str | None:
    if not isinstance(event_class, type):
        return "is not a class."
    if not event_class.__name__.isidentifier() or len(event_class.__name__) > MAX_CLASS_NAME_LENGTH:
        return f"needs a name as Python has them, of {MAX_CLASS_NAME_LENGTH} characters at most: its task is called so."
    try:
        info = inspect.type_info(event_class)
    except (TypeError, NotImplementedError, NameError) as error:
        return f"cannot be decoded: {error}"
    if not isinstance(info, inspect.DataclassType | inspect.StructType):
        return "is no dataclass, attrs class or msgspec Struct."
    if isinstance(info, inspect.StructType) and info.array_like:
        return "is an array_like Struct; the envelope's data is a JSON object."
    types = {field.name: field.type for field in info.fields}
    missing = [name for name in _REQUIRED_FIELDS if name not in types]
    if missing:
        return f"has no field {' and no field '.join(missing)}; every domain event carries both."
    if not all(_may_be(kind, types[name]) for name, kind in _REQUIRED_FIELDS.items()):
        return "needs event_id: UUID and occurred_at: datetime."
    return None


def _may_be(kind: type[inspect.Type], hint: inspect.Type) -> bool:
    """Whether JSON may be decoded to a value of that kind under a type hint. Under Any it never is: text stays text."""
    if isinstance(hint, inspect.Metadata):
        return _may_be(kind, hint.type)
    if isinstance(hint, inspect.UnionType):
        return any(_may_be(kind, choice) for choice in hint.types)
    return isinstance(hint, kind)


def _is_one_of(value: object, members: tuple[StrEnum, ...]) -> bool:
    """Whether a value is one of these very members. Equality would not do: a member of another enum may be equal."""
    return any(value is member for member in members)


def _names_of(members: Sequence[StrEnum]) -> str:
    """The enums that the members come from, for a sentence."""
    return " or ".join(dict.fromkeys(type(member).__name__ for member in members)) or "any enum"


def _namesakes(rows: Iterable[T], name_of: Callable[[T], Any]) -> Iterator[tuple[Any, list[T]]]:
    """What more than one row has as its name, and these rows."""
    found: dict[Any, list[T]] = {}
    for row in rows:
        found.setdefault(name_of(row), []).append(row)
    return ((name, rows_of) for name, rows_of in found.items() if len(rows_of) > 1)


def _both(names: Iterable[str]) -> str:
    return " and ".join(names)


def _full_name(thing: object) -> str:
    """A class, or a member of an enum, with its module: which side of a contradiction it is on."""
    owner = thing if isinstance(thing, type) else type(thing)
    name = f"{owner.__module__}.{owner.__qualname__}"
    return name if thing is owner else f"{name}.{thing.name}" if isinstance(thing, Enum) else repr(thing)


def _wire_name(event_type: object) -> str:
    return str(getattr(event_type, "value", event_type))


def _name_of(event_class: object) -> str:
    return event_class.__name__ if isinstance(event_class, type) else repr(event_class)
