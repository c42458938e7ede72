"""The documents of the publisher and the handler, to the letter: methods, defaults, log fields, and failing open."""

import inspect
import logging
import re
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

import bridge
from bridge.catalogs.finance import (
    AccountSyncSucceeded,
    get_domain_event_to_sse_mapping,
)
from bridge.model.errors import SettingsError
from bridge.model.events import DomainEvent, SSEEvent, SSEEventType
from bridge.model.publishing import Receipt, ReceiptStatus
from bridge.producer import SSEEventHandler
from bridge.redis_adapter import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher

user_id, conn_id = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("publish", ["self", "event"]),
        ("publish_to_user", ["self", "user_id", "event"]),
        ("broadcast", ["self", "event"]),
    ],
)
def test_a_publisher_has_the_three_methods(method: str, parameters: list[str]) -> None:
    for publisher in (SSEPublisherProtocol, RedisSSEPublisher):
        function = getattr(publisher, method)
        assert inspect.iscoroutinefunction(function)
        assert list(inspect.signature(function).parameters) == parameters


async def test_a_publisher_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_BROKER_URL", "redis://127.0.0.1:1/0")
    publisher: SSEPublisherProtocol = get_sse_publisher()
    assert bridge.get_sse_publisher is get_sse_publisher
    event = SSEEvent(
        event_type=SSEEventType.PROVIDER_TOKEN_EXPIRING,
        user_id=user_id,
        data={"connection_id": str(conn_id), "expires_in": 3600},
    )
    assert (await publisher.publish(event)).status is ReceiptStatus.FAILED
    assert isinstance(publisher, RedisSSEPublisher)
    await publisher.aclose()
    monkeypatch.setenv("BRIDGE_BROKER_URL", "no url")
    with pytest.raises(SettingsError):
        get_sse_publisher()


class Bus:
    def __init__(self) -> None:
        self.handlers: dict[type[Any], Any] = {}

    def subscribe(self, event_class: type[Any], handle: Any) -> None:
        self.handlers[event_class] = handle


def wired(**behaviour: Any) -> tuple[Bus, SSEEventHandler, AsyncMock]:
    publisher = AsyncMock(**behaviour)
    handler = SSEEventHandler(publisher=publisher)
    event_bus = Bus()
    for domain_event_class in get_domain_event_to_sse_mapping():
        event_bus.subscribe(domain_event_class, handler.handle)
    return event_bus, handler, publisher


EVENT = AccountSyncSucceeded(user_id=user_id, connection_id=conn_id, provider_slug="bank", account_count=3)


async def test_the_handler_publishes_and_says_so_with_the_documents_fields(caplog: pytest.LogCaptureFixture) -> None:
    bus, _, publisher = wired(**{"publish.return_value": Receipt(status=ReceiptStatus.PUBLISHED)})
    with caplog.at_level(logging.DEBUG):
        await bus.handlers[AccountSyncSucceeded](EVENT)
    publisher.publish.assert_awaited_once()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.message.startswith("Published SSE event from domain event")
    assert {name: vars(record)[name] for name in ("domain_event", "sse_event_type", "user_id", "event_id")} == {
        "domain_event": "AccountSyncSucceeded",
        "sse_event_type": "sync.accounts.completed",
        "user_id": str(user_id),
        "event_id": str(EVENT.event_id),
    }


@pytest.mark.parametrize(
    ("behaviour", "error", "error_type"),
    [
        (
            {"publish.side_effect": RuntimeError("bus\nis full, token=abc")},
            r"bus\nis full, token=\*\*\*",
            "RuntimeError",
        ),
        (
            {"publish.return_value": Receipt(status=ReceiptStatus.FAILED, error="Redis is away")},
            "Redis is away",
            "Receipt",
        ),
    ],
)
async def test_the_handler_fails_open_and_says_why_with_the_documents_fields(
    behaviour: dict[str, Any], error: str, error_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus, _, _ = wired(**behaviour)
    with caplog.at_level(logging.DEBUG):
        await bus.handlers[AccountSyncSucceeded](EVENT)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.startswith("Failed to publish SSE event from domain event (fail-open)")
    assert "\n" not in record.message
    assert vars(record)["domain_event"] == "AccountSyncSucceeded"
    assert vars(record)["error_type"] == error_type
    assert re.fullmatch(error, vars(record)["error"])
    raised = record.exc_info[1] if record.exc_info else None
    assert type(raised).__name__ == ("NoneType" if error_type == "Receipt" else error_type)


async def test_the_handler_ignores_what_has_no_mapping(caplog: pytest.LogCaptureFixture) -> None:
    _, handler, publisher = wired()
    await handler.handle(DomainEvent(user_id=user_id))
    assert not publisher.mock_calls
    assert not caplog.records
    assert handler.has_mapping_for(AccountSyncSucceeded)
    assert not handler.has_mapping_for(DomainEvent)
    assert handler.get_mapped_event_types() == list(get_domain_event_to_sse_mapping().keys())


def test_the_handler_takes_the_parameters_of_the_document() -> None:
    parameters = inspect.signature(SSEEventHandler.__init__).parameters
    assert list(parameters)[:3] == ["self", "publisher", "logger"]
    assert parameters["logger"].default is None
    assert list(inspect.signature(SSEEventHandler.handle).parameters) == ["self", "event"]
