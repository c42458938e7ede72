"""What a search concludes from what it saw, and what an audit concludes from producers' words; no I/O."""

import zlib
from base64 import b64encode
from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec
import pytest

from bridge.messages.queue_item import QueuedMessage, peek
from bridge.model.accounting import Balance, OpenMessage
from bridge.model.dead_letter import Tombstone, read_tombstone
from bridge.operations.audit import SILENCE_S, Audit, holds_events, went_away
from bridge.operations.search import Seen, Verdict, holds, judge_by_depth
from bridge.redis_adapter import broker_queues
from bridge.runtime.reports import ProducerReport, Reported
from tests.support.letters import a_letter

ONE, TWO = uuid4(), uuid4()


def queued(message_id: str, book_id: str = "", events: tuple[UUID, ...] = ()) -> QueuedMessage:
    return QueuedMessage(message_id=message_id, book_id=book_id or message_id, claimed=False, body=body_of(*events))


def body_of(*events: UUID, encode: Callable[[bytes], bytes] = bytes) -> str:
    return b64encode(encode(msgspec.json.encode([[[{"id": event} for event in events]], {}, {}]))).decode()


def open_message(message_id: str, *events: UUID, queue: str = "bridge.moods") -> OpenMessage:
    return OpenMessage(message_id=message_id, accepted_ms=1, task="bridge.Moody", queue=queue, event_ids=events)


def test_a_message_that_was_seen_is_not_absent_and_a_strangers_changes_nothing() -> None:
    seen = Seen({"a", "b"})
    for message in (queued("a"), queued("stranger"), queued("part", "stranger")):
        seen.note(message)
    assert seen.absent == {"b"}


def test_of_a_message_that_was_taken_apart_only_the_events_of_seen_parts_are_there() -> None:
    seen = Seen({"whole"})
    seen.note(queued("part", "whole", (ONE,)))
    assert seen.absent == {"whole"}
    assert seen.unseen(open_message("whole", ONE, TWO)) == (TWO,)


@pytest.mark.parametrize(
    ("compression", "ids"),
    [("application/x-gzip", {ONE, TWO}), ("zlib", {ONE, TWO}), ("application/x-bz2", set()), (["zlib"], set())],
)
def test_a_compressed_body_is_read_where_its_header_says_so(compression: object, ids: set[UUID]) -> None:
    body = body_of(ONE, TWO, encode=zlib.compress)
    message = QueuedMessage(message_id="p", book_id="m", claimed=True, body=body, compression=compression)
    assert message.event_ids() == ids


@pytest.mark.parametrize("body", ["", "!", b64encode(b"no json").decode(), b64encode(b"[]").decode()])
def test_a_body_that_cannot_be_read_has_no_events(body: str) -> None:
    assert QueuedMessage(message_id="p", book_id="m", claimed=True, body=body).event_ids() == frozenset()


@pytest.mark.parametrize("compression", [None, "zlib", ["zlib"]])
def test_a_message_is_seen_whatever_its_header_says_of_compression(compression: object) -> None:
    item = msgspec.json.encode({"headers": {"id": "m", "compression": compression}, "body": ""})
    message = broker_queues._message(peek(item), claimed=False)
    assert message is not None
    assert message.book_id == "m"


@pytest.mark.parametrize(
    ("parts", "encode"),
    [
        ({}, bytes),
        ({"headers": None}, bytes),
        ({"headers": {"compression": "application/x-gzip"}}, zlib.compress),
        ({"headers": {"compression": "application/x-gzip"}}, bytes),
        ({"headers": {"compression": ["x"]}}, bytes),
    ],
)
def test_an_event_is_found_in_what_was_quarantined_with_it(
    parts: dict[str, object], encode: Callable[[bytes], bytes]
) -> None:
    raw = msgspec.json.encode({"body": body_of(ONE, encode=encode), **parts})
    letter = a_letter(raw=raw)
    assert holds(letter, ONE)
    assert not holds(letter, TWO)


@pytest.mark.parametrize(
    ("depths", "verdict"),
    [
        ({}, Verdict.UNCHECKED),
        ({"bridge.moods": 3}, Verdict.UNCHECKED),
        ({"bridge.moods": 0}, Verdict.UNCLEAR),
    ],
)
def test_the_depth_of_a_queue_never_proves_that_a_message_is_missing(depths, verdict) -> None:
    assert judge_by_depth(open_message("m", ONE), depths) is verdict


def reported(age_s: float, **figures: int) -> Reported:
    report = ProducerReport(host="h", pid=1, started="2026-01-01T00:00:00Z", **figures)
    return Reported(producer="p", age_s=age_s, report=report)


@pytest.mark.parametrize(
    ("said", "has_some", "gone"),
    [
        (reported(9999), False, False),
        (reported(1, waiting=5), True, False),
        (reported(SILENCE_S + 1, waiting=5), True, True),
        (reported(SILENCE_S + 1, spooled=5), True, True),
        (reported(0, abandoned=5), True, True),
    ],
)
def test_a_producer_went_away_if_it_holds_events_and_is_silent(said: Reported, has_some: bool, gone: bool) -> None:
    assert (holds_events(said), went_away(said)) == (has_some, gone)


BALANCE = Balance(
    accepted=3,
    unbooked=0,
    stray=0,
    open=1,
    retrying=0,
    dead=0,
    published=2,
    duplicate=0,
    skipped=0,
    discarded=0,
    evicted=0,
    written_off=0,
)


@pytest.mark.parametrize(
    ("found", "clean"),
    [
        ({}, True),
        ({"missing": 1}, False),
        ({"unclear": 1}, False),
        ({"unchecked": 1}, True),
        ({"unchecked": 1, "trouble": "The broker is away."}, False),
        ({"unrecorded": 1}, False),
        ({"missing": 2, "written_off": 2}, True),
        ({"missing": 2, "unclear": 1, "written_off": 2}, False),
    ],
)
def test_an_audit_is_clean_if_nothing_is_or_may_be_missing(found: dict[str, int], clean: bool) -> None:
    nothing = {"unrecorded": 0, "missing": 0, "unclear": 0, "unchecked": 0, "trouble": "", "written_off": 0}
    assert Audit(balance=BALANCE, listed=(), producers=(), **{**nothing, **found}).clean is clean


@pytest.mark.parametrize("value", [b"", b"[]", b"no json", b"\xff", b'{"at": null}'])
def test_a_tombstone_that_says_nothing_is_a_tombstone(value: bytes) -> None:
    assert read_tombstone("id", value, "now") == Tombstone(
        letter_id="id", at="now", who="", reason="", task="", error_class=""
    )
