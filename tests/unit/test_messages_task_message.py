"""What tools such as Flower show of a message: enough to go on with, and nothing of what the events say."""

from uuid import UUID

import pytest

from bridge.messages import TaskMessage
from bridge.messages.task_message import shown_arguments

FIRST, SECOND = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("ids", "shown"),
    [([FIRST], f"(1 event from {FIRST})"), ([FIRST, SECOND], f"(2 events from {FIRST})")],
)
def test_a_message_shows_how_many_events_and_the_id_of_the_first(ids: list[UUID], shown: str) -> None:
    message = TaskMessage(
        task="bridge.Moody",
        queue="bridge.moods",
        envelopes=[b'{"data":{"text":"secret"}}'] * len(ids),
        event_ids=b"".join(event_id.bytes for event_id in ids),
    )
    headers = message.headers(announced=True)
    assert headers["argsrepr"] == shown
    assert "secret" not in str(headers)


def test_without_ids_only_the_number_is_shown() -> None:
    assert (shown_arguments(1), shown_arguments(12)) == ("(1 event)", "(12 events)")
