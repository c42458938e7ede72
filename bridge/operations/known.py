"""Checks that a selection's values exist, so that a mistyped one does not look like one that matches nothing."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from bridge.model.dead_letter import LetterHead
from bridge.model.errors import SettingsError
from bridge.model.plain_text import echoed
from bridge.model.registry import Registry
from bridge.model.registry.addresses import key_of
from bridge.model.registry.metadata import QUEUE_PREFIX, TASK_PREFIX
from bridge.model.retry import RetryRecord
from bridge.operations.selection import FOREVER_MS, Facts, Selection, address_in, facts_of, is_class
from bridge.ports import Store
from bridge.runtime.command_names import command

HEADS_LOOKED_AT = 1000
NEAR = 0.8
"""How alike a name must be to be called near; of ids, which all look alike, more is asked for."""
NEAR_IDS = 0.95


@dataclass(frozen=True, slots=True)
class Present:
    """The names that occur in the letters or retries that there are."""

    types: frozenset[str]
    categories: frozenset[str]
    error_classes: frozenset[str]
    addresses: frozenset[str]

    @classmethod
    def of(cls, items: Iterable[Facts | LetterHead | RetryRecord]) -> "Present":
        """Of all items."""
        kinds = {
            (facts.task, facts.queue, facts.error_class, facts.addresses)
            for facts in (item if isinstance(item, Facts) else facts_of(item) for item in items)
        }
        return cls(
            types=frozenset(task.removeprefix(TASK_PREFIX) for task, _, _, _ in kinds),
            categories=frozenset(queue.removeprefix(QUEUE_PREFIX) for _, queue, _, _ in kinds),
            error_classes=frozenset(error_class for _, _, error_class, _ in kinds),
            addresses=frozenset(address for *_, addresses in kinds for address in addresses),
        )


def found_categories(store: Store) -> frozenset[str]:
    """Categories of queues that any process has named, and of what is found at the first look, of any registry."""
    heads = store.dead_letters.heads(newest_first=True, between_ms=(0, FOREVER_MS))
    names = {*store.queue_names.all(), *(waiting.queue for waiting in store.retries.by_queue())}
    names.update(head.queue for head in islice(heads, HEADS_LOOKED_AT))
    return frozenset(name.removeprefix(QUEUE_PREFIX) for name in names if name.startswith(QUEUE_PREFIX))


def resolve(
    selection: Selection, registry: Registry, items: Callable[[], Iterable[Facts | LetterHead | RetryRecord]]
) -> Selection:
    """A selection with classes for wire names, of which each value may match something.

    Types and categories must be in the registry, or in something that there is; of error classes and addresses, which
    cannot be listed, only those are refused that resemble one that there is.

    Args:
        selection: as it was given.
        registry: registry of this process.
        items: reads everything that there is; asked only if the registry does not know a value.

    Raises:
        SettingsError: a value is unknown; names the near one.
    """
    classes = {row.domain_event_class.__name__ for row in registry.mappings}
    wire_names = {meta.event_type.value for meta in registry.events}
    categories = {category.value for category in registry.categories}
    unknown_types = [name for name in selection.types if name not in classes | wire_names]
    doubtful = bool(unknown_types or set(selection.categories) - categories)
    if not (doubtful or selection.error_classes or selection.addresses):
        return selection.resolved(registry)
    present = Present.of(items())
    for name in unknown_types:
        _expect(name, classes | wire_names | present.types, "event type", f"see {command('registry')}.")
    for name in set(selection.categories) - categories:
        known = categories | present.categories - {""}
        _expect(name, known, "category", f"there are {', '.join(sorted(known))}.")
    for name in selection.error_classes:
        if not any(is_class(known, name) for known in present.error_classes):
            short = {known.rpartition(".")[2] for known in present.error_classes}
            _refuse_near(name, present.error_classes | short, "error class", NEAR)
    for address in {str(address_in(text, registry)) for text in selection.addresses} - present.addresses:
        kind = address.partition(":")[0]
        _refuse_near(key_of(address), _keys_of(kind, present.addresses), kind, NEAR_IDS)
    return selection.resolved(registry, also_categories=present.categories)


def _keys_of(kind: str, addresses: Iterable[str]) -> set[str]:
    return {key_of(address) for address in addresses if address.startswith(f"{kind}:")}


def _expect(name: str, known: Collection[str], what: str, otherwise: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise SettingsError(f"There is no {what} {echoed(name)}; {f'did you mean {near[0]}?' if near else otherwise}")


def _refuse_near(name: str, known: Collection[str], what: str, cutoff: float) -> None:
    near = get_close_matches(name, known, n=1, cutoff=cutoff)
    if near:
        raise SettingsError(f"Nothing has the {what} {echoed(name)}; did you mean {near[0]}?")
