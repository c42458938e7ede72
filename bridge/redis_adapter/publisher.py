"""``RedisSSEPublisher``: publishing from asyncio code, by the same script and keys as the worker."""

from collections.abc import Collection
from typing import Protocol

import redis.asyncio

from bridge.catalogs import load_configured
from bridge.model.errors import AddressError, BridgeError, IdError
from bridge.model.events import SSEEvent, encode_payload
from bridge.model.plain_text import plain_logger
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery, Receipt, ReceiptStatus
from bridge.model.registry import Address, Id, IdType, Registry
from bridge.model.registry.addresses import AddressBook
from bridge.model.registry.identifiers import UUIDS
from bridge.redis_adapter.client import connect_async, store_errors
from bridge.redis_adapter.script import script
from bridge.redis_adapter.settler import SettleCall
from bridge.settings import WorkerSettings

logger = plain_logger(__name__)


class SSEPublisherProtocol(Protocol):
    """What publishes SSE events. Every method is fail-open: it never raises, and says what happened."""

    async def publish(self, event: SSEEvent) -> Receipt:
        """Publish to the event's own user; otherwise as ``publish_to_user``."""

    async def publish_to_user(self, user_id: Id, event: SSEEvent) -> Receipt:
        """Publish ``event`` to ``user_id``, whoever it names; the same event id to the same user is published once."""

    async def broadcast(self, event: SSEEvent) -> Receipt:
        """Publish to every connected client; otherwise as ``publish_to_user``."""

    async def publish_to(self, addresses: Address | Collection[Address], event: SSEEvent) -> Receipt:
        """Publish to ``addresses``, one or several: to all or to none; otherwise as ``publish_to_user``."""


class RedisSSEPublisher:
    """Publishes through Redis streams and pub/sub. Implements ``SSEPublisherProtocol``.

    Args:
        client: an asyncio client, e.g. from ``bridge.redis_adapter.connect_async``; stays yours to close.
        settings: bounds and times, as a worker has them; default: the settings' defaults, not the environment.
        users: what the application's users are called: ``registry.users``; default: UUIDs.
        registry: says that, which topics there are, and of which class of retention a type is.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        settings: WorkerSettings | None = None,
        *,
        users: IdType = UUIDS,
        registry: Registry | None = None,
    ) -> None:
        settings = settings or WorkerSettings()
        self._registry = registry
        self._addresses = registry.addresses if registry else AddressBook(users, ())
        self._client = client
        self._call = SettleCall(settings)
        self._script = script("settle")
        self._event_max_bytes = settings.event_max_bytes

    async def publish(self, event: SSEEvent) -> Receipt:
        """Publish to the event's own user; otherwise as ``publish_to_user``."""
        return await self._send(event, event.user_id)

    async def publish_to_user(self, user_id: Id, event: SSEEvent) -> Receipt:
        """Publish ``event`` to ``user_id``, whoever it names.

        Idempotent: the same event id to the same user is published once, for as long as its seen mark
        lives. Events of one publisher arrive in the order of their calls. Never raises: see
        ``Receipt.status``.
        """
        try:
            user = self._addresses.users.checked(user_id)  # any text here would become part of a Redis key
        except IdError as error:
            return self._failure(event, str(error).rstrip("."))
        return await self._send(event, user)

    async def broadcast(self, event: SSEEvent) -> Receipt:
        """Publish to everybody, whoever the event names; otherwise as ``publish_to_user``."""
        return await self._send(event, None)

    async def publish_to(self, addresses: Address | Collection[Address], event: SSEEvent) -> Receipt:
        """Publish to ``addresses``: ``User(id)``, a topic's, ``EVERYONE`` or several, whoever the event names.

        To all at one position, or to none; otherwise as ``publish_to_user``. An event without an address is refused.
        """
        try:
            told = self._addresses.all_checked(addresses)
        except AddressError as error:
            return self._failure(event, str(error).rstrip("."))
        return await self._send(event, None, told) if told else self._failure(event, "it has no address")

    async def aclose(self) -> None:
        """Close the client. For who has no other hold of it: see ``get_sse_publisher``."""
        await self._client.aclose()

    async def _send(self, event: SSEEvent, user_id: Id | None, told: tuple[Address, ...] = ()) -> Receipt:
        try:
            payload = encode_payload(event.data)
            if len(payload) > self._event_max_bytes:
                return self._failure(
                    event,
                    f"its payload has {len(payload)} bytes; at most {self._event_max_bytes} are allowed",
                )
            addressed = AddressedEvent(event=event, payload=payload, user_id=user_id, addresses=told)
            delivery = Delivery(
                event_type=event.event_type.value,
                events=[addressed],
                message_id=DIRECT,
                retention=self._registry.retention_of(event.event_type) if self._registry else None,
            )
            with store_errors():
                answer = await self._script.send_async(self._client, self._call.arguments([delivery]))
            return self._call.receipts(answer, 1)[0]
        except BridgeError as error:
            return self._failure(event, str(error))
        except Exception as error:  # fail-open: a closed event loop must not reach the business either
            return self._failure(event, f"{type(error).__name__}: {error}")

    def _failure(self, event: SSEEvent, reason: str) -> Receipt:
        logger.error("bridge.event.not_published event_id=%s reason=%s", event.event_id, reason)
        return Receipt(status=ReceiptStatus.FAILED, error=reason)


def get_sse_publisher() -> RedisSSEPublisher:
    """A new publisher from the environment's settings: one an application, made where its event loop runs.

    Opens no connection before its first event; ``aclose`` ends it.

    Raises:
        SettingsError: a setting is wrong.
        RegistryError: the registry that they name cannot be loaded.
    """
    settings, registry = load_configured(WorkerSettings)  # it publishes as a worker does
    return RedisSSEPublisher(connect_async(settings), settings, registry=registry)
