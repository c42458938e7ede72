"""Events made ready to be sent, and messages that are none."""

import json

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.gateway.request import EventEncoder
from bridge.model.counting import Counters
from bridge.model.position import Position

AN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def message(**changes: object) -> bytes:
    return json.dumps(
        {"event_id": AN_ID, "event_type": "import.started", "data": {"a": 1}, "position": "5-1", **changes}
    ).encode()


def test_a_message_becomes_a_frame_with_its_category_and_position() -> None:
    event = EventEncoder(REGISTRY, Counters()).read(message())
    assert event is not None
    assert event.frame.decode() == f'id: {AN_ID}\nevent: import.started\ndata: {{"a": 1}}\n\n'
    assert (event.values[0], event.position) == ("import", Position("5-1"))


def test_a_legal_type_that_nobody_knows_has_no_category() -> None:
    event = EventEncoder(REGISTRY, Counters()).read(message(event_type="loan.approved"))
    assert event is not None and event.values[0] is None


@pytest.mark.parametrize("name", ["evil\nid: 1", "one", "a.b.c.d", "", "A.B", "a.b " * 100])
def test_a_type_that_no_registry_can_hold_is_dropped_and_counted(name: str) -> None:
    counters = Counters()
    assert EventEncoder(REGISTRY, counters).read(message(event_type=name)) is None
    assert (counters.events_unknown, counters.messages_malformed) == (1, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        message(event_id="x\nid: 1"),
        message(event_id=None),
        message(position="latest"),
        message(position="1-1-1"),
        message(position=f"{'9' * 5000}-0"),
        message(event_type=5),
        message()[:-1],
    ],
)
def test_a_message_that_is_none_of_ours_is_dropped_and_counted(bad: bytes) -> None:
    counters = Counters()
    assert EventEncoder(REGISTRY, counters).read(bad) is None
    assert counters.messages_malformed == 1


def test_line_breaks_between_json_tokens_do_not_end_the_data_line() -> None:
    pretty = json.dumps(json.loads(message()), indent=2).replace("\n", "\r\n").encode()
    event = EventEncoder(REGISTRY, Counters()).read(pretty)
    assert event is not None
    assert event.frame.count(b"\n") == 4 and b"\r" not in event.frame


def test_every_counter_is_exported_by_its_name() -> None:
    counters = Counters(events_sent=3)
    assert counters.as_dict()["events_sent"] == 3
