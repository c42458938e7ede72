"""What operators are told: numbers and times in one form, and the same words in a terminal and on a page."""

from dataclasses import replace
from uuid import UUID

import pytest

from bridge.model.accounting import OpenMessage
from bridge.model.dead_letter import Cursor, DeadLetter, Tombstone
from bridge.model.errors import SettingsError
from bridge.model.pipeline import Failure, Stage
from bridge.model.retry import Attempt, RetryRecord, WaitingRetry
from bridge.operations import search
from bridge.operations.dry_run import Expected, Prediction
from bridge.operations.selection import Selection
from bridge.ports import Publication
from bridge.views import failed_events, words
from bridge.views.failed_events import (
    NOTES_COUNTED_MAX,
    SHOWN_MAX,
    DryRun,
    letter_facts,
    letter_row,
    retry_row,
    types_in_words,
)
from bridge.views.words import in_words

AT_MS = 1_767_225_600_123
ID, USER = (str(UUID(int=number)) for number in (1, 2))
FAILURE = Failure(stage=Stage.EXTRACT, error_class="KeyError", message="x" * 200)
LETTER = DeadLetter(
    letter_id=ID,
    group="ab" * 6,
    task="bridge.Moody",
    queue="bridge.moods",
    addresses=(f"user:{USER}",),
    failure=FAILURE,
    attempts=(),
    envelope="{}",
    raw=b"",
    worker="h1:1",
    release="",
    buried_at="2026-01-01T00:00:00+00:00",
)
RETRY = RetryRecord(
    event_id=ID,
    task="bridge.Moody",
    queue="bridge.moods",
    addresses=(f"user:{USER}",),
    envelope="{}",
    attempts=(Attempt(number=3, at="2026-01-01T00:00:00+00:00", failure=FAILURE),),
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (100, "100 s"), (600, "10 min"), (8_000, "2 h"), (200_000, "2 d")],
)
def test_a_time_has_the_unit_that_suits_it(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(("in_s", "text"), [(None, ""), (5, "in 5.0 s"), (-7200, "2 h overdue")])
def test_what_comes_is_due_or_overdue(in_s: float | None, text: str) -> None:
    assert words.due(in_s) == text


def test_a_noun_goes_with_its_number() -> None:
    assert [words.counted(number, "letter") for number in (0, 1, 2_000)] == ["0 letters", "1 letter", "2,000 letters"]
    assert words.counted(1, "user", "+") == "1+ users"
    assert words.counted(2, "retry", plural="retries") == "2 retries"


def test_numbers_that_are_zero_are_not_told() -> None:
    assert words.numbers_in_words({"discarded": 1_200, "gone": 0, "left": 3}) == "1,200 discarded, 3 left"


def test_types_are_told_by_their_class() -> None:
    assert types_in_words([("bridge.Moody", 1_000), ("", 2)]) == "Moody 1,000, none 2"


def test_a_cursor_that_is_none_is_refused_in_the_words_of_its_place() -> None:
    assert failed_events.read_cursor("17.5:abc", "No.") == Cursor(at_ms=17.5, letter_id="abc")
    assert failed_events.read_cursor("", "No.") is None
    for wrong in ("x", "nan:1", "inf:1", ":"):
        with pytest.raises(SettingsError, match=r"^No\.$"):
            failed_events.read_cursor(wrong, "No.")


def test_filters_say_when_and_read_the_same_later() -> None:
    given = failed_events.read_filters({"user": [USER], "id": []}, since="2h", until="", text="tea", now_ms=AT_MS)
    assert given == Selection(addresses=(f"user:{USER}",), since_ms=AT_MS - 7_200_000, text="tea")
    written = failed_events.write_filters(given)
    assert written == [("address", f"user:{USER}"), ("since", "2025-12-31T22:00:00.123Z"), ("text", "tea")]


def test_a_letter_and_a_retry_make_rows_alike() -> None:
    dead, waiting = letter_row(AT_MS, LETTER), retry_row(WaitingRetry(record=RETRY, due_ms=AT_MS, taken=False))
    assert (dead.at, dead.tries, waiting.at, waiting.tries) == ("2026-01-01T00:00:00Z", None, dead.at, 3)
    assert (dead.item.addresses, dead.item.task, waiting.failure) == (
        waiting.item.addresses,
        "bridge.Moody",
        dead.failure,
    )
    assert words.failure_in_words(dead.failure, 100) == "extract: KeyError: " + "x" * 100
    assert retry_row(WaitingRetry(record=RETRY, due_ms=AT_MS, taken=True)).at == "being tried"


def test_the_facts_of_a_letter_leave_nothing_out_but_its_contents() -> None:
    told = dict(letter_facts(LETTER))
    assert told["for"] == f"user:{USER}"
    assert told["worker"] == "h1:1"
    assert not told["died in"]


def test_a_dry_run_is_summed_up_in_bounded_memory() -> None:
    made = DryRun()
    for number in range(2 * NOTES_COUNTED_MAX):
        seen = Prediction(letter_id=str(number), group="ab", expected=Expected.STALE, note=f"n{number}")
        made.add(replace(seen, changes={"note": ("a", "b")}))
    made.add(Prediction(letter_id="last", group="ab", expected=Expected.FAILED, failure=FAILURE))
    assert (made.looked_at, made.counts["failed"]) == (2 * NOTES_COUNTED_MAX + 1, 1)
    assert len(made.notes) == len(made.changes) == SHOWN_MAX
    assert len(made._notes) == NOTES_COUNTED_MAX


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (
            Publication(position=f"{AT_MS}-0", address="everyone", seen_key="k", in_stream=False),
            "published 2026-01-01T00:00:00.123Z to everyone",
        ),
        (
            Publication(position=f"{AT_MS}-0", address="user:a:b", seen_key="k", in_stream=False),
            "published 2026-01-01T00:00:00.123Z to user:a:b",
        ),
        (
            Publication(position=f"{AT_MS}-0", address="order:42", seen_key="k", in_stream=True),
            "published 2026-01-01T00:00:00.123Z to order:42",
        ),
        (
            search.OnItsWay(
                message=OpenMessage(message_id="m", accepted_ms=AT_MS, task="t", queue="q", event_ids=()),
                whereabouts=search.Whereabouts.CLAIMED,
            ),
            "in flight since 2026-01-01T00:00:00.123Z: a worker has its message",
        ),
        (
            search.Waiting(record=RETRY, due_ms=AT_MS, due_in_s=-60.0),
            "waiting for its next attempt, due since 60 s",
        ),
        (LETTER, "dead letter since 2026-01-01T00:00:00+00:00, at stage extract"),
        (search.SkippedEvent(at_ms=AT_MS), "skipped 2026-01-01T00:00:00.123Z: it had no recipient"),
        (
            Tombstone(letter_id="", at="now", who="ann", reason="old", task="", error_class=""),
            "discarded now by ann: old",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_place_is_one_sentence(place: search.Place, told: str) -> None:
    shown = in_words(place)
    assert f"{shown.name} {shown.words}" == told
    assert all(type(value) is str for fact in shown.facts for value in fact)
