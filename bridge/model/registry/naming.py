"""Names on the broker, derived from the registry and from nothing else."""

import re
from enum import StrEnum

TASK_PREFIX = "bridge."
QUEUE_PREFIX = "bridge."

_WIRE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,2}", re.ASCII)
_CATEGORY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
MAX_WIRE_NAME_LENGTH = 100

RESERVED_PREFIX = "stream."
"""Wire names of the bridge's own control events (``stream.reset``)."""


def task_name(event_class_name: str) -> str:
    """The Celery task of a domain event class: ``bridge.<DomainEventClass>``."""
    return TASK_PREFIX + event_class_name


def queue_name(category: StrEnum) -> str:
    """The queue of a category: ``bridge.<category>``."""
    return QUEUE_PREFIX + category.value


def is_wire_name(name: str) -> bool:
    """Whether ``name`` is two or three lowercase segments joined by dots, at most 100 characters."""
    return len(name) <= MAX_WIRE_NAME_LENGTH and _WIRE_NAME.fullmatch(name) is not None


def is_category_name(name: str) -> bool:
    """Whether ``name`` is one lowercase segment."""
    return len(name) <= MAX_WIRE_NAME_LENGTH and _CATEGORY.fullmatch(name) is not None
