"""What an error tracker such as Sentry gets of a failing extractor: its exception, its place, and nobody's data."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge import DomainEvent, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata
from bridge.model.pipeline import EventCodec
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters
from bridge.settings import Settings
from bridge.wiring import worker_ports
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job

SECRET = "the-contents-of-an-event"


class Category(StrEnum):
    REPORTS = "reports"


class EventType(StrEnum):
    MADE = "report.made"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportMade(DomainEvent):
    text: str
    kind: str = "cause"


class UnknownCarrierError(PermanentError):
    """No page for it."""


def helper(text: str, kind: str) -> dict[str, Any]:
    copied = [text]
    if kind == "cause":
        try:
            return {"text": {}[copied[0]]}
        except KeyError as error:
            raise ValueError("no such text\nERROR forged") from error
    raise UnknownCarrierError(f"password={text}")


def extract(event: ReportMade) -> dict[str, Any]:
    return helper(event.text, event.kind)


registry = Registry(
    event_types=EventType,
    categories=Category,
    events=[SSEEventMetadata(EventType.MADE, Category.REPORTS, "A report was made", ["text"])],
    mappings=[
        DomainToSSEMapping(
            ReportMade,
            EventType.MADE,
            extract,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=2, base_s=0, cap_s=0),
            example=lambda: ReportMade(user_id=uuid4(), text="x"),
        )
    ],
)


class Tracker(logging.Handler):
    """Does as Sentry's logging integration does: an issue of each error, with the local variables of each frame."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.issues: list[tuple[str, str, list[str], str]] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
        if not record.exc_info or record.exc_info[0] is None:
            return
        kind, error, trace = record.exc_info
        seen: list[BaseException] = []
        frames, variables = [], ""
        one: BaseException | None = error
        while one is not None and one not in seen:
            seen.append(one)
            current = trace if one is error else one.__traceback__
            while current is not None:
                frames.append(current.tb_frame.f_code.co_name)
                variables += repr(current.tb_frame.f_locals)
                current = current.tb_next
            one = one.__cause__ or one.__context__
        self.issues.append((f"{kind.__module__}.{kind.__qualname__}", str(error), frames, variables))


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    handler = Tracker()
    logger = logging.getLogger("bridge")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def run(settings: Settings, event: ReportMade, *, attempt: int) -> None:
    [mapping] = registry.mappings
    envelope = EventCodec(ReportMade).encode(event, source="test")
    job = Job(mapping=mapping, envelopes=[_raw(envelope)], attempt=attempt, message_id=str(uuid4()), booked_as="")
    Handler(settings, registry, worker_ports(settings, registry)).run([job])


def _raw(envelope: bytes) -> object:

    return json.loads(envelope)


def test_the_last_attempt_of_an_extractor_is_an_issue_without_the_event(
    settings: Settings, redis_client: redis.Redis, tracker: Tracker
) -> None:
    event = ReportMade(user_id=uuid4(), text=SECRET)
    run(settings, event, attempt=1)
    assert tracker.issues == [], "it is tried again"
    run(settings, event, attempt=2)
    [(kind, text, frames, variables)] = tracker.issues
    assert (kind, text) == ("builtins.ValueError", "no such text\\nERROR forged")
    assert frames[-2:] == ["extract", "helper"]
    assert SECRET not in variables
    assert SECRET not in "".join(tracker.lines)
    assert not any(line.startswith("ERROR forged") for line in "\n".join(tracker.lines).splitlines())
    [letter] = every_letter(DeadLetters(redis_client, settings))
    assert letter.letter_id == str(event.event_id)
    assert "helper" in letter.failure.traceback


def test_a_permanent_failure_is_an_issue_at_once_with_its_secrets_masked(
    settings: Settings, redis_client: redis.Redis, tracker: Tracker
) -> None:
    run(settings, ReportMade(user_id=uuid4(), text=SECRET, kind="permanent"), attempt=1)
    [(kind, text, frames, variables)] = tracker.issues
    assert kind == f"{__name__}.UnknownCarrierError"
    assert text == "password=***"
    assert frames[-1] == "helper"
    assert SECRET not in variables + "".join(tracker.lines)
