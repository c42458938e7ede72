"""``SSEEventHandler``: publishing straight from an event bus, for teams without a worker."""

import logging
from collections.abc import Mapping
from typing import Any

from bridge.catalogs import load_registry
from bridge.model.events import SSEEvent
from bridge.model.pipeline.failure import ExcInfo, Stage, describe, reportable
from bridge.model.pipeline.pipeline import addresses_of, transform
from bridge.model.plain_text import name_of, plain_logger
from bridge.model.publishing import Receipt, ReceiptStatus
from bridge.model.registry import Address, Audience, DomainToSSEMapping, Registry
from bridge.producer.diversion import diversion
from bridge.redis_adapter import SSEPublisherProtocol


class SSEEventHandler:
    """Turns domain events into SSE events and publishes them, in process. Fail-open.

    Without a queue there are no retries and no dead letters: what fails is logged, and gone. Use
    ``emit`` and a worker where that is not enough.

    Args:
        publisher: e.g. ``RedisSSEPublisher``.
        logger: default: this module's.
        registry: default: the built-in catalog.

    Raises:
        RegistryError: the built-in catalog cannot be loaded.

    Example:
        >>> publisher = get_sse_publisher()
        >>> handler = SSEEventHandler(publisher=publisher)
        >>> for domain_event_class in handler.get_mapped_event_types():
        ...     event_bus.subscribe(domain_event_class, handler.handle)
    """

    def __init__(
        self,
        publisher: SSEPublisherProtocol,
        logger: logging.Logger | None = None,
        *,
        registry: Registry | None = None,
    ) -> None:
        self._publisher = publisher
        self._logger = logger or plain_logger(__name__)
        registry = registry or load_registry()
        self._addresses = registry.addresses
        self._mapping: Mapping[type[Any], DomainToSSEMapping] = registry.by_class

    async def handle(self, event: Any) -> None:
        """Publish the SSE event of a domain ``event``. Ignores unmapped classes; never raises an Exception."""
        try:
            mapping = self._mapping.get(type(event))
            if mapping is None:
                return
            addresses = addresses_of(event, mapping, self._addresses)
            sse_event = None if addresses is None else transform(event, mapping, self._addresses.users)
            if (test := diversion()) is not None:
                test.handled(event)
                return
            if addresses is None or sse_event is None:
                return
            self._log(event, sse_event, await self._publish(sse_event, mapping, addresses))
        except Exception as error:  # extractors and publishers are foreign code; the business carries on
            failure = describe(error, Stage.PUBLISH)
            if (test := diversion()) is not None:
                test.note_refused(event, f"{name_of(type(event))} was not published: {failure.message}")
            self._log_failure(
                event, name_of(type(error)), failure.message, ReceiptStatus.FAILED, reportable(error, failure)
            )

    def has_mapping_for(self, event_class: type[Any]) -> bool:
        """Whether events of ``event_class`` are published."""
        return event_class in self._mapping

    def get_mapped_event_types(self) -> list[type[Any]]:
        """The domain event classes that are published."""
        return list(self._mapping)

    async def _publish(
        self, event: SSEEvent, mapping: DomainToSSEMapping, addresses: tuple[Address, ...]
    ) -> Receipt | None:
        if addresses:
            return await self._publisher.publish_to(addresses, event)
        if mapping.audience is Audience.BROADCAST:
            return await self._publisher.broadcast(event)
        return await self._publisher.publish(event)

    def _log(self, event: Any, sse_event: SSEEvent, receipt: Receipt | None) -> None:
        """Say what happened. A publisher of the team's own may return nothing; then nothing is claimed."""
        if receipt is None:
            return
        if not receipt.ok:
            self._log_failure(event, "Receipt", receipt.error or "no reason was given", receipt.status)
            return
        said = {
            "domain_event": name_of(type(event)),
            "sse_event_type": sse_event.event_type.value,
            "user_id": str(sse_event.user_id),
            "event_id": str(sse_event.event_id),
        }
        self._logger.debug(
            "Published SSE event from domain event: bridge.event.handled domain_event=%s event_id=%s status=%s",
            said["domain_event"],
            said["event_id"],
            receipt.status.value,
            extra=said,
        )

    def _log_failure(
        self, event: Any, error_type: str, error: str, status: ReceiptStatus, exc_info: ExcInfo | None = None
    ) -> None:
        said = {
            "domain_event": name_of(type(event)),
            "event_id": _id_of(event),
            "status": status.value,
            "error": error,
            "error_type": error_type,
        }
        self._logger.error(
            "Failed to publish SSE event from domain event (fail-open): "
            "bridge.event.not_published domain_event=%s event_id=%s status=%s error_type=%s error=%r",
            *(said[name] for name in ("domain_event", "event_id", "status", "error_type", "error")),
            exc_info=exc_info,
            extra=said,
        )


def _id_of(event: Any) -> str:
    try:
        return str(event.event_id)
    except Exception:  # foreign code, or none
        return "None"
