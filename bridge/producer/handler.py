"""``SSEEventHandler``: publishing straight from an event bus, for teams without a worker."""

import logging
from collections.abc import Mapping
from typing import Any

from bridge.events import SSEEvent
from bridge.pipeline.transform import transform
from bridge.registry import Audience, DomainToSSEMapping, Registry, load_registry
from bridge.store import Receipt, SSEPublisherProtocol


class SSEEventHandler:
    """Turns domain events into SSE events and publishes them, in process. Fail-open.

    Without a queue there are no retries and no dead letters: what fails is logged, and gone. Use
    ``emit`` and a worker where that is not enough.

    Args:
        publisher: e.g. ``RedisSSEPublisher``.
        logger: default: this module's.
        registry: default: the built-in catalog.

    Example:
        >>> handler = SSEEventHandler(publisher=publisher)
        >>> for event_class in handler.get_mapped_event_types():
        ...     event_bus.subscribe(event_class, handler.handle)
    """

    def __init__(
        self,
        publisher: SSEPublisherProtocol,
        logger: logging.Logger | None = None,
        *,
        registry: Registry | None = None,
    ) -> None:
        self._publisher = publisher
        self._logger = logger or logging.getLogger(__name__)
        self._mapping: Mapping[type[Any], DomainToSSEMapping] = (registry or load_registry()).by_class

    async def handle(self, event: Any) -> None:
        """Publish the SSE event of a domain event. Ignores unmapped classes; never raises an Exception."""
        mapping = self._mapping.get(type(event))
        if mapping is None:
            return
        try:
            sse_event = transform(event, mapping)
            if sse_event is None:
                return
            self._log(event, await self._publish(sse_event, mapping))
        except Exception as error:  # extractors and publishers are foreign code; the business carries on
            self._logger.error(
                "bridge.event.not_published domain_event=%s error_type=%s", type(event).__name__, type(error).__name__
            )

    def has_mapping_for(self, event_class: type[Any]) -> bool:
        """Whether events of this class are published."""
        return event_class in self._mapping

    def get_mapped_event_types(self) -> list[type[Any]]:
        """The domain event classes that are published."""
        return list(self._mapping)

    async def _publish(self, event: SSEEvent, mapping: DomainToSSEMapping) -> Receipt | None:
        if mapping.audience is Audience.BROADCAST:
            return await self._publisher.broadcast(event)
        return await self._publisher.publish(event)

    def _log(self, event: Any, receipt: Receipt | None) -> None:
        """Say what happened. A publisher of the team's own may return nothing; then nothing is claimed."""
        if receipt is None:
            return
        level = logging.DEBUG if receipt.ok else logging.ERROR
        self._logger.log(
            level,
            "bridge.event.handled domain_event=%s event_id=%s status=%s",
            type(event).__name__,
            event.event_id,
            receipt.status.value,
        )
