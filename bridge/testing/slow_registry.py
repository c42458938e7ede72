"""``registry``: a team's own catalog in which one class has an extractor that takes forever; for workers under test."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.catalogs import load_registry
from bridge.model.registry import Registry

VARIABLE = "SSE_BRIDGE_TESTING_SLOW"
"""Of the environment: the path of the catalog, and the name of the class, with a blank between."""


class _Slow:
    """An extractor that takes forever, once the catalog is made: that looks at a sample."""

    def __init__(self, extract: Callable[[Any], Mapping[str, Any]]) -> None:
        self._extract, self.begun = extract, False

    def __call__(self, event: Any) -> Mapping[str, Any]:
        if self.begun:
            threading.Event().wait()
        return self._extract(event)


def slowed(registry: Registry, class_name: str) -> Registry:
    """The same catalog, but that the extractor of that class takes forever."""
    mapping = next(one for one in registry.mappings if one.domain_event_class.__name__ == class_name)
    slow = _Slow(mapping.payload_extractor)
    made = Registry(
        event_types=registry.event_types,
        categories=registry.categories,
        events=registry.events,
        mappings=[replace(one, payload_extractor=slow) if one is mapping else one for one in registry.mappings],
        user_id=registry.users.kind,
        topics=registry.topics,
        retention=registry.retention,
    )
    slow.begun = True
    return made


def __getattr__(name: str) -> Registry:
    if name != "registry":
        raise AttributeError(name)
    path, _, class_name = os.environ[VARIABLE].partition(" ")
    return slowed(load_registry(path), class_name)
