"""Filters in addresses and forms: read strictly, written so that they mean the same later."""

from uuid import UUID

import pytest
from starlette.datastructures import QueryParams

from bridge.model.bounds import FILTER_VALUES_MAX
from bridge.model.dead_letter import Cursor
from bridge.model.errors import SettingsError
from bridge.operations.selection import FOREVER_MS, Selection
from bridge.ops.page_context import (
    bars,
    given_filters,
    moment,
    pretty,
    read_after,
    read_number,
    read_reason,
    read_selection,
)
from bridge.views.failed_events import write_filters
from tests.support.moody_catalog import registry

NOW_MS = 1_800_000_000_123
ONE, TWO, THREE = (str(UUID(int=number)) for number in (1, 2, 3))
USER = "0190f0a1-0000-7000-8000-000000000001"


def read(fields: str, *, payloads: bool = True) -> Selection:
    return read_selection(QueryParams(fields), registry, now_ms=NOW_MS, payloads=payloads)


def test_no_field_means_everything() -> None:
    assert read("") == Selection()
    assert read("type=&category=&since=+&text=").is_everything


def test_every_filter_is_read() -> None:
    cause = "error=KeyError&stage=extract&group=ab"
    assert read(
        f"type=Moody&type=Announced&category=moods&user={USER}&{cause}&id={ONE},{TWO}+{THREE}&since=2h&text=tea"
    ) == Selection(
        types=("Moody", "Announced"),
        categories=("moods",),
        addresses=(f"user:{USER}",),
        error_classes=("KeyError",),
        stages=("extract",),
        groups=("ab",),
        ids=(ONE, TWO, THREE),
        since_ms=NOW_MS - 7_200_000,
        until_ms=FOREVER_MS,
        text="tea",
    )


@pytest.mark.parametrize("fields", [f"type=Moody&user={USER}", "since=2h&until=5m", "category=moods&text=a+b%26c", ""])
def test_what_is_written_reads_the_same_and_its_times_do_not_move(fields: str) -> None:
    selection = read(fields)
    written = QueryParams([*write_filters(selection)])
    assert read_selection(written, registry, now_ms=NOW_MS + 9_000_000, payloads=True) == selection


@pytest.mark.parametrize(
    "fields",
    ["stage=nowhere", "category=none", "type=a-b", "since=yesterday", "user=bob", "id=1", "group=xyz", "id=many"],
)
def test_what_is_no_filter_is_said(fields: str) -> None:
    if fields == "id=many":
        fields = "&".join(f"id={UUID(int=number)}" for number in range(FILTER_VALUES_MAX + 1))
    with pytest.raises(SettingsError):
        read(fields)


def test_masked_contents_cannot_be_searched() -> None:
    """Whoever may ask "does it occur?" often enough reads what is masked."""
    with pytest.raises(SettingsError, match="masked"):
        read("text=tea", payloads=False)


def test_only_filters_are_carried_on() -> None:
    fields = QueryParams("type=Moody&after=1:x&note=discarded&n=1&since=2h&text=&evil=<script>")
    assert given_filters(fields) == [("type", "Moody"), ("since", "2h")]


def test_a_cursor_is_read_or_refused() -> None:
    assert read_after(QueryParams("after=17.5:abc")) == Cursor(at_ms=17.5, letter_id="abc")
    assert read_after(QueryParams("")) is None
    for wrong in ("x", "nan:1", "inf:1", ":"):
        with pytest.raises(SettingsError):
            read_after(QueryParams({"after": wrong}))


@pytest.mark.parametrize(("text", "number"), [("", None), ("10", 10), ("10%", 10), (" 2.5 ", 2.5)])
def test_a_number_is_read(text: str, number: float | None) -> None:
    assert read_number(QueryParams({"n": text}), "n", "N", low=0, high=100) == number


@pytest.mark.parametrize("text", ["x", "-1", "101", "nan", "inf", "1e9"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="N must be a number between 0 and 100"):
        read_number(QueryParams({"n": text}), "n", "N", low=0, high=100)


def test_a_reason_is_needed() -> None:
    assert read_reason(QueryParams("reason=+stale+")) == "stale"
    with pytest.raises(SettingsError):
        read_reason(QueryParams("reason=+"))


def test_values_look_as_they_should() -> None:
    assert moment("2026-01-01T01:00:00+01:00") == moment(1_767_225_600_000) == "2026-01-01 00:00:00"
    assert moment("long ago") == "long ago"
    assert moment(1 << 80) == str(1 << 80)
    assert pretty("{") == "{"
    assert bars([0, 1, 1000], 20) == [(20, 0), (19, 1), (0, 20)]
