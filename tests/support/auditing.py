"""Emitting, and asking an audit and a trace of a real store what became of it."""

from uuid import UUID

import redis

from bridge import Emitter, Settings
from bridge.model.registry import User
from bridge.operations.audit import Audit, Auditor
from bridge.operations.search import Place, Tracer
from bridge.wiring import store_of
from tests.support.moody_catalog import registry
from tests.support.waiting import WAIT_S


def audit(client: redis.Redis, settings: Settings, **options: object) -> Audit:
    """Of the catalog of moods; nothing is young enough to be given time, unless ``grace_s`` says so."""
    return Auditor(store_of(client, settings), settings, registry).audit(**{"grace_s": 0, **options})  # type: ignore[arg-type]


def emit(emitter: Emitter, *events: object) -> None:
    """Until the broker has all."""
    assert emitter.emit_many(events) == len(events)
    assert emitter.flush(WAIT_S)


def places(client: redis.Redis, settings: Settings, event_id: UUID, user_id: UUID | None = None) -> list[Place]:
    """Where an event is."""
    return Tracer(store_of(client, settings)).trace(event_id, User(user_id) if user_id else None)
