"""Every input takes hostile text in time that is proportionate to its size: ten times the text, ten times the time."""

from contextlib import suppress

import msgspec
import pytest

from bridge.model.errors import BridgeError
from tests.support.growth import HOSTILE, assert_in_proportion, hostile
from tests.support.inputs import INPUTS

SIZE = 1_000
PIECES = (
    *(
        "brackets that open",
        "brackets that open and close",
        "quotes",
        "backslashes",
        "quotes behind escaped backslashes",
    ),
    *("letters", "white space", "line feeds", "a password", "half a signed token", "digits", "digits and commas"),
    *("a mail address", "a frame", "an object", "control characters", "letters beyond the plane"),
)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("door", INPUTS)
def test_time_grows_with_the_size_and_no_faster(door: str, piece: str) -> None:
    enter = INPUTS[door]

    def knock(text: str) -> None:
        with suppress(BridgeError, ValueError, msgspec.MsgspecError, RecursionError, TypeError, KeyError):
            enter(text)

    assert_in_proportion(knock, hostile(HOSTILE[piece]), SIZE)
