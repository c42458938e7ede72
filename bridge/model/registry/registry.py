"""``Registry``: an immutable, validated catalog from which everything else is derived."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from bridge.model.errors import RegistryError
from bridge.model.registry.addresses import AddressBook, Topic
from bridge.model.registry.identifiers import Id, IdType
from bridge.model.registry.metadata import (
    QUEUE_PREFIX,
    TASK_PREFIX,
    DomainToSSEMapping,
    Retention,
    SSEEventMetadata,
    queue_name,
    task_name,
)

if TYPE_CHECKING:
    from bridge.model.events import SSEEvent

T = TypeVar("T")
_TABLES = ("event_types", "categories", "events", "mappings")


def _once(*tables: Iterable[T]) -> list[T]:
    """Each row once, in order. Not by equality: members of two enums are equal if their values are."""
    return list({id(row): row for table in tables for row in table}.values())


class Registry:
    """The event types with their metadata, and the mappings from domain events to them.

    Args:
        event_types: a StrEnum, or the members of several (``[*SSEEventType, *ExportType]``); each needs metadata.
        categories: a StrEnum, or the members of several.
        events: metadata, one row a type.
        mappings: at most one a domain event class.
        user_id: what the application calls its users: ``UUID``, ``int`` or ``str``.
        topics: what clients may listen to beside a user's own events, and a mapping's ``audience`` may tell.
        retention: category → class of retention of its types, where it is not the settings'; a type's own counts first.

    Raises:
        RegistryError: the tables have faults; all are listed, in the message and in ``faults``.
    """

    __slots__ = (
        "_by_name",
        "_by_task",
        "_metadata",
        "_retentions",
        "_types",
        "addresses",
        "by_class",
        "categories",
        "event_types",
        "events",
        "mappings",
        "retention",
        "topics",
        "users",
    )

    def __init__(
        self,
        *,
        event_types: Iterable[StrEnum],
        categories: Iterable[StrEnum],
        events: Iterable[SSEEventMetadata],
        mappings: Iterable[DomainToSSEMapping] = (),
        user_id: type = UUID,
        topics: Iterable[Topic] = (),
        retention: Mapping[StrEnum, Retention] = MappingProxyType({}),
    ) -> None:
        from bridge.model.registry.faults import Tables, find_faults  # not before there is something to look through

        tables = Tables.of(
            event_types=event_types,
            categories=categories,
            events=events,
            mappings=mappings,
            user_id=user_id,
            topics=topics,
            retention=retention,
        )
        faults = find_faults(tables)
        if faults:
            raise RegistryError(faults=faults)
        set_once = super().__setattr__
        set_once("event_types", tables.event_types)
        set_once("categories", tables.categories)
        set_once("events", tables.events)
        set_once("mappings", tables.mappings)
        set_once("topics", tables.topics)
        set_once("retention", MappingProxyType(tables.retention))
        set_once("_retentions", tables.retentions())
        set_once("users", IdType.of(user_id))
        set_once("addresses", AddressBook(self.users, tables.topics))
        set_once("_metadata", {meta.event_type: meta for meta in tables.events})
        set_once("_types", {meta.event_type.value: meta for meta in tables.events})
        set_once("by_class", MappingProxyType({row.domain_event_class: row for row in tables.mappings}))
        set_once("_by_name", {row.domain_event_class.__name__: row for row in tables.mappings})
        set_once("_by_task", {task_name(name): row for name, row in self._by_name.items()})

    events: tuple[SSEEventMetadata, ...]
    mappings: tuple[DomainToSSEMapping, ...]
    event_types: tuple[StrEnum, ...]
    categories: tuple[StrEnum, ...]
    topics: tuple[Topic, ...]
    users: IdType  # reads and writes the users' ids; the one place where that is done
    addresses: AddressBook  # reads and judges addresses
    retention: Mapping[StrEnum, Retention]  # category → class of retention; read-only
    by_class: Mapping[type[Any], DomainToSSEMapping]  # domain event class → mapping; read-only
    _metadata: Mapping[StrEnum, SSEEventMetadata]
    _retentions: Mapping[StrEnum, Retention]
    _types: Mapping[str, SSEEventMetadata]
    _by_name: Mapping[str, DomainToSSEMapping]
    _by_task: Mapping[str, DomainToSSEMapping]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Registry is immutable; build a new one instead of setting {name!r}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A Registry is immutable; build a new one instead of deleting {name!r}.")

    def __repr__(self) -> str:
        return f"<Registry of {len(self.events)} event types and {len(self.mappings)} mappings>"

    # Building on others

    @classmethod
    def combined(cls, *registries: "Registry") -> "Registry":
        """One registry of several teams'. What they share, such as rows of the built-in catalog, is there once.

        Args:
            registries: any number, in any order; none of them changes.

        Raises:
            RegistryError: they contradict each other: one name for two types, categories, classes or topics, two
                mappings of one class, users of two kinds. Each sentence names both sides.
        """
        from bridge.model.registry.faults import unlike_retentions, unlike_users

        faults = (
            *unlike_users([(registry.event_types, registry.users) for registry in registries]),
            *unlike_retentions([registry.retention for registry in registries]),
        )
        if faults:
            raise RegistryError(faults=faults)
        return cls(
            **{name: _once(*(getattr(registry, name) for registry in registries)) for name in _TABLES},
            topics=dict.fromkeys(topic for registry in registries for topic in registry.topics),
            retention={category: one for registry in registries for category, one in registry.retention.items()},
            user_id=registries[0].users.kind if registries else UUID,
        )

    def extended(
        self,
        *,
        events: Iterable[SSEEventMetadata] = (),
        mappings: Iterable[DomainToSSEMapping] = (),
        topics: Iterable[Topic] = (),
    ) -> "Registry":
        """A new registry with further rows; types and categories are taken from the metadata.

        Raises:
            RegistryError: as for ``Registry``, of old and new rows together.
        """
        from bridge.model.registry.faults import Tables

        added = Tables.of(
            event_types=(),
            categories=(),
            events=events,
            mappings=mappings,
            user_id=self.users.kind,
            topics=topics,
            retention={},
        )
        return Registry(
            event_types=(*self.event_types, *_once(meta.event_type for meta in added.events)),
            categories=_once(self.categories, (meta.category for meta in added.events)),
            events=(*self.events, *added.events),
            mappings=(*self.mappings, *added.mappings),
            user_id=self.users.kind,
            topics=dict.fromkeys((*self.topics, *added.topics)),
            retention=self.retention,
        )

    # Look-ups

    def mapping_named(self, event_class_name: str) -> DomainToSSEMapping | None:
        """The mapping of the domain event class that is called ``event_class_name``; None if there is none."""
        return self._by_name.get(event_class_name)

    def mapping_of_task(self, task: str) -> DomainToSSEMapping | None:
        """The mapping that the Celery ``task`` runs, ``bridge.<Class>``; None if there is none."""
        return self._by_task.get(task)

    def metadata(self, event_type: StrEnum) -> SSEEventMetadata | None:
        """What is known of ``event_type``; None if it is not in this registry."""
        return self._metadata.get(event_type)

    def metadata_of_wire_name(self, wire_name: str) -> SSEEventMetadata | None:
        """What is known of the event type that is called ``wire_name``; None if there is none."""
        return self._types.get(wire_name)

    def parse_type(self, wire_name: str) -> StrEnum:
        """The event type that is called ``wire_name``.

        Raises:
            ValueError: there is none.
        """
        meta = self._types.get(wire_name)
        if meta is None:
            raise ValueError(f"{wire_name!r} is not an event type of this registry.")
        return meta.event_type

    def category_of(self, event_type: StrEnum) -> StrEnum:
        """The category of ``event_type``.

        Raises:
            KeyError: the type is not in this registry.
        """
        return self._metadata[event_type].category

    def retention_of(self, event_type: StrEnum) -> Retention | None:
        """The class of retention of ``event_type``; None if it is kept as the settings say."""
        return self._retentions.get(event_type)

    def in_category(self, category: StrEnum) -> list[SSEEventMetadata]:
        """The metadata of every type of ``category``, in the order of the table."""
        return [meta for meta in self.events if meta.category == category]

    # Making events by hand

    def sse_event(self, event_type: StrEnum, user_id: Id, data: dict[str, Any], **others: Any) -> "SSEEvent":
        """A new SSE event, for an application that publishes without a worker; ``others`` as for ``SSEEvent``.

        Raises:
            ValueError: ``user_id`` is none of the registry's kind, or as for ``SSEEvent``.
        """
        from bridge.model.events import SSEEvent  # producers' processes do without

        return SSEEvent.for_user(self.users.checked(user_id), event_type=event_type, data=data, **others)

    # Names on the broker

    def task_of(self, mapping: DomainToSSEMapping) -> str:
        """The Celery task that runs ``mapping``: ``bridge.<Class>``."""
        return TASK_PREFIX + mapping.domain_event_class.__name__

    def queue_of(self, mapping: DomainToSSEMapping) -> str:
        """The queue of ``mapping``: ``bridge.<category>``, of its type's category."""
        return QUEUE_PREFIX + self._metadata[mapping.sse_event_type].category.value

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue, one a category, in the order of the categories."""
        return tuple(queue_name(category) for category in self.categories)

    # Reports

    def statistics(self) -> dict[str, Any]:
        """``total_event_types``, ``total_mappings`` and ``by_category`` (name → number of types)."""
        return {
            "total_event_types": len(self.events),
            "total_mappings": len(self.mappings),
            "by_category": {category.value: len(self.in_category(category)) for category in self.categories},
        }

    def gaps(self) -> list[SSEEventMetadata]:
        """Types that no domain event is mapped to: they are never published by the worker."""
        mapped = {mapping.sse_event_type for mapping in self.mappings}
        return [meta for meta in self.events if meta.event_type not in mapped]
