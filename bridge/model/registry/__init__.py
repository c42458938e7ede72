"""Which events exist, and which domain event becomes which; pure. Routing and tasks follow from it."""

from bridge.model.registry.addresses import EVERYONE, Address, Everyone, Topic, TopicAddress, User
from bridge.model.registry.identifiers import Id, IdType
from bridge.model.registry.metadata import (
    Addressing,
    Audience,
    DomainToSSEMapping,
    DropAfter,
    Retention,
    RetryPolicy,
    SSEEventMetadata,
    Staleness,
    Supersede,
    queue_name,
    task_name,
)
from bridge.model.registry.registry import Registry
