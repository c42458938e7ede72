"""JSON that no parser takes ends nobody: neither who hears a channel, nor who reads a stream, a letter or a token."""

from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest

from bridge.cli.emit import _object
from bridge.model.bounds import ENTRY_BYTES_MAX
from bridge.model.dead_letter import read_letter, read_tombstone
from bridge.model.errors import DecodeError, EventRefusedError
from bridge.model.events.sse_event import read_message
from bridge.model.pipeline.envelope import encode_raw, parsed, read_envelope
from bridge.model.registry.identifiers import user_in
from bridge.operations.dry_run import is_json, occurred_at_of
from bridge.operations.letters import mask_envelope
from bridge.ops.page_context import pretty
from bridge.redis_adapter.event_log import _entry
from bridge.redis_adapter.failed_events import read_retry

DEEP = "[" * 100_000 + "]" * 100_000
JUNK = {
    "levels beyond every parser": DEEP,
    "levels that are not closed": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "levels in a member": '{"data":' + DEEP + "}",
    "a number of a million digits": "1" * 1_000_000,
    "a lone surrogate": '{"data":"\\ud800"}',
    "no JSON": "{[",
    "nothing": "",
}


@pytest.mark.parametrize("text", JUNK.values(), ids=list(JUNK))
@pytest.mark.parametrize("blanks", ["", "\n"])
def test_a_strangers_stream_entry_is_no_event_or_one_line(text: str, blanks: str) -> None:
    fields = ["event_id", str(uuid4()), "event_type", "mood.shown", "data", text + blanks]
    position, event = _entry((b"1-1", fields))
    assert str(position) == "1-1"
    assert event is None or "\n" not in event.payload


@pytest.mark.parametrize("text", JUNK.values(), ids=list(JUNK))
@pytest.mark.parametrize("form", ["%s", '{"event_id":"%s","event_type":"a.b","position":"1-1","data":%s\n}'])
def test_a_strangers_channel_message_is_no_event(text: str, form: str) -> None:
    message = form % text if form == "%s" else form % (uuid4(), text)
    try:
        event = read_message(message.encode())
    except ValueError:
        return
    assert "\n" not in event.payload


def test_what_is_larger_than_any_event_is_not_parsed() -> None:
    large = b'{"event_id":"%b","data":"%b"}' % (str(uuid4()).encode(), b"x" * ENTRY_BYTES_MAX)
    with pytest.raises(ValueError, match="bytes"):
        read_message(large)
    fields = ["event_id", str(uuid4()), "event_type", "a.b", "data", "x" * (ENTRY_BYTES_MAX + 1)]
    assert _entry((b"1-1", fields))[1] is None


READERS: dict[str, Callable[[str], object]] = {
    "a letter": read_letter,
    "a retry": lambda text: read_retry("1:" + text),
    "a user": user_in,
    "an envelope that is masked": mask_envelope,
    "an envelope to be sent": is_json,
    "a time": occurred_at_of,
    "a tombstone": lambda text: read_tombstone("id", text.encode("utf-8", "surrogatepass"), ""),
    "JSON on a page": lambda text: pretty(text).encode(),
    "bytes of an envelope": encode_raw,
}


@pytest.mark.parametrize("text", JUNK.values(), ids=list(JUNK))
@pytest.mark.parametrize("name", READERS)
def test_readers_of_what_redis_holds_answer(name: str, text: str) -> None:
    READERS[name](text)


@pytest.mark.parametrize("text", JUNK.values(), ids=list(JUNK))
def test_readers_of_what_people_write_refuse_in_words(text: str) -> None:
    with pytest.raises(DecodeError):
        read_envelope(text.encode())
    with pytest.raises(EventRefusedError):
        _object(text, "Moody")


def test_parsing_says_so() -> None:
    with pytest.raises(DecodeError):
        parsed(msgspec.Raw(DEEP.encode()))
