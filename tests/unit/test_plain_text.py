"""Outside text cannot forge a log line."""

import logging
from pathlib import Path
from typing import Any

import pytest

from bridge.model.plain_text import LINE_CHARS_MAX, one_line, plain_logger
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


FORGED = "x\r\n2026-01-01 ERROR forged \x1b[2J\u2028"


def _logged(caplog: pytest.LogCaptureFixture, *args: object, **options: Any) -> str:
    logger = plain_logger("bridge.test")
    with caplog.at_level(logging.INFO, logger="bridge.test"):
        logger.info(*args, **options)  # type: ignore[arg-type]
    return logging.Formatter("%(levelname)s %(message)s").format(caplog.records[-1])


@pytest.mark.parametrize("value", [FORGED, ValueError(FORGED), Path(FORGED), [FORGED], {"a": FORGED}, FORGED.encode()])
@pytest.mark.parametrize("form", ["id=%s", "id=%r"])
def test_a_log_line_stays_one(caplog: pytest.LogCaptureFixture, value: object, form: str) -> None:
    line = _logged(caplog, form, value) if not isinstance(value, dict) else _logged(caplog, "id=%(a)s", value)
    assert line.isprintable()
    assert "forged" in line


def test_numbers_stay_numbers(caplog: pytest.LogCaptureFixture) -> None:
    assert _logged(caplog, "%d of %.1f %s", 3, 2.5, None) == "INFO 3 of 2.5 None"


def test_a_traceback_keeps_its_frames_and_its_error_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise KeyError(FORGED)
        except KeyError as cause:
            raise ValueError(FORGED) from cause
    except ValueError:
        lines = _logged(caplog, "failed", exc_info=True).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026") for line in lines)
    assert sum(line.startswith("  File") for line in lines) == 2


def test_every_logger_of_the_bridge_is_such_a_one() -> None:
    for path in (Path(__file__).parents[2] / "bridge").rglob("*.py"):
        if "demo" not in path.parts and path.name != "plain_text.py":
            text = path.read_text(encoding="utf-8")
            assert "logging.getLogger(__name__)" not in text, f"{path}: use plain_logger"
