"""Ids of users: what an application calls them, read and written in one place, and refused where they are none."""

from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
import uuid6
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.bounds import USER_CHARS_MAX, USER_INT_MAX
from bridge.model.errors import IdError, PermanentError
from bridge.model.registry.identifiers import INTS, TEXTS, UUIDS, IdType, is_id_text

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
ALPHABET = st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters="{}")
NUMBERS = st.integers(min_value=-USER_INT_MAX - 1, max_value=USER_INT_MAX)
NAMES = st.text(ALPHABET, min_size=1, max_size=USER_CHARS_MAX)


class Number(IntEnum):
    SEVEN = 7


class Name(StrEnum):
    ANN = "ann"


class Sly(str):
    """A text that says something else in a key than it compares to."""

    def __str__(self) -> str:
        return "sse:stream:user:{other}"


class SlyNumber(int):
    def __str__(self) -> str:
        return "{}"


@given(st.uuids())
def test_a_uuid_is_the_same_after_any_way_and_canonical_in_text(value: UUID) -> None:
    assert UUIDS.text(value) == str(value) == UUIDS.text(uuid6.UUID(str(value)))
    assert UUIDS.parse(str(value).upper()) == UUIDS.parse(value.hex) == UUIDS.read(str(value)) == value


@given(NUMBERS)
def test_a_number_is_the_same_after_any_way(value: int) -> None:
    assert INTS.parse(INTS.text(value)) == INTS.read(value) == value
    assert is_id_text(INTS.text(value))


@given(NAMES)
def test_a_text_is_the_same_after_any_way(value: str) -> None:
    assert TEXTS.text(value) == TEXTS.parse(value) == TEXTS.read(value) == value


@given(st.text(max_size=2 * USER_CHARS_MAX))
def test_what_is_read_as_a_number_is_written_as_it_was(text: str) -> None:
    try:
        value = INTS.parse(text)
    except IdError:
        return
    assert INTS.text(value) == text


@given(st.text(max_size=2 * USER_CHARS_MAX))
def test_no_text_gets_into_a_key_that_could_be_anything_but_a_part_of_it(text: str) -> None:
    bad = any(one.isspace() or one in "{}" or ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in text)
    try:
        TEXTS.checked(text)
    except IdError:
        assert bad or not 1 <= len(text) <= USER_CHARS_MAX or "\ud800" <= max(text) <= "\udfff" or "broadcast" in text
    else:
        assert not bad
        text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+1",
        "-0",
        "01",
        "1_000",
        "1.0",
        "1e3",
        " 1",
        "1\n",
        "\u0663",
        "\uff11",
        "0x1",
        "one",
        str(USER_INT_MAX + 1),
        "9" * 5000,
    ],
)
def test_a_number_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(IdError, match="is no user id: those are whole numbers"):
        INTS.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a\tb",
        "a\u00a0b",
        "a\u2028b",
        "a\x00b",
        "a\x7f",
        "{a}",
        "a}",
        "\ud800",
        "x" * (USER_CHARS_MAX + 1),
    ],
)
def test_a_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(IdError, match="is no user id: those are texts"):
        TEXTS.parse(text)


_HEX = USER.hex
ODD_UUIDS = [f" {_HEX[1:]}", f"{_HEX[1:]}\n", f"+{_HEX[1:]}", f"0x{_HEX[2:]}", f"{_HEX[:9]}_{_HEX[10:]}", f"{_HEX}\n"]


@pytest.mark.parametrize("text", ["", "7", "0190f0a1", "x" * 36, "\N{FULLWIDTH DIGIT ONE}" + _HEX[1:], *ODD_UUIDS])
def test_a_text_that_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(IdError, match="is no user id: those are UUIDs"):
        UUIDS.parse(text)


@pytest.mark.parametrize("ids", [UUIDS, INTS, TEXTS])
@pytest.mark.parametrize("value", [None, 7, b"7", USER, ["7"]])
def test_what_is_no_text_says_no_id(ids: IdType, value: Any) -> None:
    with pytest.raises(IdError, match="is read from a text, not"):
        ids.parse(value)


@pytest.mark.parametrize("prefix", ["", "shop:"])
def test_no_user_shares_the_seen_marks_of_the_broadcasts(prefix: str) -> None:
    with pytest.raises(IdError):
        TEXTS.parse(f"{prefix}sse:stream:broadcast")


@pytest.mark.parametrize(
    ("ids", "value"),
    [
        (UUIDS, "0190f0a1-0000-7000-8000-000000000001"),
        (UUIDS, 7),
        (UUIDS, None),
        (INTS, "7"),
        (INTS, True),
        (INTS, 7.0),
        (INTS, USER),
        (INTS, USER_INT_MAX + 1),
        (TEXTS, 7),
        (TEXTS, b"ann"),
        (TEXTS, USER),
        (TEXTS, "a b"),
    ],
)
def test_a_value_of_another_kind_is_refused_for_good_without_being_repeated(ids: IdType, value: Any) -> None:
    with pytest.raises(IdError) as caught:
        ids.checked(value)
    assert isinstance(caught.value, PermanentError)
    assert value is None or repr(value) not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "value", "text"),
    [
        (INTS, Number.SEVEN, "7"),
        (INTS, SlyNumber(7), "7"),
        (TEXTS, Name.ANN, "ann"),
        (TEXTS, Sly("ann"), "ann"),
        (UUIDS, USER, str(USER)),
    ],
)
def test_a_subclass_counts_by_its_value_and_not_by_what_it_says(ids: IdType, value: Any, text: str) -> None:
    assert ids.text(value) == text
    assert type(ids.checked(value)) in (int, str, UUID)


@pytest.mark.parametrize(("kind", "ids"), [(UUID, UUIDS), (int, INTS), (str, TEXTS)])
def test_the_kind_is_named_by_its_type(kind: type, ids: IdType) -> None:
    assert IdType.of(kind) is ids


@pytest.mark.parametrize("kind", [float, bool, None, "int", uuid6.UUID, object])
def test_any_other_kind_is_refused(kind: Any) -> None:
    with pytest.raises(IdError, match="ids can be UUID, int or str"):
        IdType.of(kind)


class Account:
    id = 7


class Broken:
    @property
    def id(self) -> int:
        raise LookupError("a secret")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Account(), "the user must be a whole number, not Account: give its id."),
        (Broken(), "the user must be a whole number, not Broken."),
        (7.0, "the user must be a whole number, not float."),
        (None, "the user must be a whole number, not NoneType."),
    ],
)
def test_an_object_in_the_place_of_its_id_is_told_so(value: object, sentence: str) -> None:
    with pytest.raises(IdError) as refusal:
        INTS.checked(value, "the user")
    assert str(refusal.value) == sentence
