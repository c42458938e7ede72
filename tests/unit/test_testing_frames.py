"""The reader of streams: whatever the parts in which bytes come, the frames are the same, and none of them is lost."""

import pytest

from bridge.testing.frames import FrameReader

STREAM = (
    b"retry: 1500\nid: 17-0\n\n"
    b": live\n"
    b'id: a\nevent: order.paid\ndata: {"number":"\xc3\xa4"}\n\n'
    b": heartbeat\n"
    b'event: stream.reset\ndata: {"reason":"trimmed"}\n\n'
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_cut_into_its_frames(size: int) -> None:
    reader = FrameReader()
    parts = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    frames = [frame for part in parts for frame in reader.feed(part)]
    assert b"".join(frame.raw for frame in frames) == STREAM
    assert [frame.retry_ms for frame in frames if frame.retry_ms] == [1500]
    assert [frame.comment for frame in frames if frame.comment] == ["live", "heartbeat"]
    paid, reset = [frame for frame in frames if frame.is_event]
    assert (paid.id, paid.type, paid.payload) == ("a", "order.paid", {"number": "ä"})
    assert (reset.id, reset.type, reset.payload) == ("", "stream.reset", {"reason": "trimmed"})


def test_what_is_not_whole_is_no_frame() -> None:
    reader = FrameReader()
    assert not list(reader.feed(b"id: a\nevent: order.paid\ndata: {}\n"))
    (frame,) = reader.feed(b"\n")
    assert frame.id == "a"
