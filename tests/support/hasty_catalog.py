"""The moody catalog with one attempt an event: whoever's run fails is dead at once."""

from dataclasses import replace

from bridge import Registry, RetryPolicy
from tests.support.moody_catalog import Category, EventType
from tests.support.moody_catalog import registry as moody

registry = Registry(
    event_types=EventType,
    categories=Category,
    events=list(moody.events),
    mappings=[replace(mapping, retry=RetryPolicy(attempts=1)) for mapping in moody.mappings],
)
