"""Outside text cannot forge a log line."""

import pytest

from bridge.plain_text import LINE_CHARS_MAX, one_line
from tests.support.growth import HOSTILE, assert_in_proportion, hostile


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words, ünd mehr 🌍", "plain words, ünd mehr 🌍"),
        ("a\r\n[ERROR] forged", "a\\r\\n[ERROR] forged"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x00b\x7fc\x85d\u2028e", "a\\x00b\\x7fc\\x85d\\u2028e"),
        ("right\u202eto left", "right\\u202eto left"),
        ("lone \ud800", "lone \\ud800"),
        (5, "5"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: object, line: str) -> None:
    assert one_line(text) == line


def test_long_text_is_cut_and_says_so() -> None:
    assert one_line("x" * 10_000) == "x" * (LINE_CHARS_MAX - 1) + "…"
    assert one_line("x" * LINE_CHARS_MAX) == "x" * LINE_CHARS_MAX


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=list(HOSTILE))
def test_it_takes_time_in_proportion(piece: str) -> None:
    assert_in_proportion(one_line, hostile(piece), 10_000)
