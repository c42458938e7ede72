"""Events, deliveries, retries and letters for tests of the ports."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from bridge import SSEEvent, SSEEventType
from bridge.model.dead_letter import DeadLetter
from bridge.model.events.sse_event import StreamedEvent
from bridge.model.pipeline import Failure, Stage
from bridge.model.position import Position
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery
from bridge.model.registry import Address, Retention, User
from bridge.model.retry import Attempt, RetryRecord
from bridge.ports import EventLog, Publisher

USER, OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8001"), UUID("01890a5d-ac96-774b-bcce-b302099a8002")
TASK, QUEUE = "bridge.FileImportStarted", "bridge.import"
FAILURE = Failure(stage=Stage.EXTRACT, error_class="ValueError", message="no")
NOW = "2026-11-30T00:00:00+00:00"


def event(user_id: UUID | None = USER, event_id: UUID | None = None, *told: Address) -> AddressedEvent:
    """A new event for a user; for everybody, if there is none; or for the addresses that are told."""
    made = SSEEvent(
        event_type=SSEEventType.IMPORT_STARTED, user_id=user_id or USER, data={"a": "b"}, event_id=event_id or uuid4()
    )
    return AddressedEvent(event=made, payload=b'{"a":"b"}', user_id=user_id, addresses=told)


def name_of(addressed: AddressedEvent) -> str:
    return str(addressed.event.event_id)


def delivery(
    *events: AddressedEvent,
    message_id: str = DIRECT,
    skipped: Sequence[str] = (),
    retention: Retention | None = None,
) -> Delivery:
    kind = SSEEventType.IMPORT_STARTED.value
    return Delivery(event_type=kind, events=events, message_id=message_id, skipped=skipped, retention=retention)


def publish(publisher: Publisher, *events: AddressedEvent, **others: Any) -> None:
    """Publish events, each of which is now published; ``others`` as for ``delivery``."""
    pending = publisher.prepare([delivery(*events, **others)])
    assert all(receipt.ok for receipt in pending.unpublished().values())


async def read_all(
    log: EventLog, after: Position, user_id: UUID = USER, *topics: Address
) -> tuple[list[StreamedEvent], bool]:
    """Everything after a position, page by page; and whether all pages were complete."""
    events: list[StreamedEvent] = []
    complete = True
    while True:
        page = await log.read([User(user_id), *topics], after)
        assert all(after < one.position <= page.horizon for one in page.events)
        events += page.events
        complete = complete and page.complete
        if page.last:
            return events, complete
        assert page.horizon > after
        after = page.horizon


def record(event_id: str, attempt: int = 1) -> RetryRecord:
    attempts = tuple(Attempt(number=number, at=NOW, failure=FAILURE) for number in range(1, attempt + 1))
    return RetryRecord(event_id=event_id, task=TASK, queue=QUEUE, envelope="{}", attempts=attempts)


def letter(letter_id: str, queue: str = QUEUE) -> DeadLetter:
    return DeadLetter(
        letter_id=letter_id,
        task=TASK,
        queue=queue,
        envelope="{}",
        failure=FAILURE,
        attempts=(Attempt(number=1, at=NOW, failure=FAILURE),),
        buried_at=NOW,
        worker="one",
        release="1",
    )
