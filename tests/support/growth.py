"""How the time that something takes grows with the size of what it is given; ratios only, so a busy machine is fine."""

from collections.abc import Callable
from time import process_time
from typing import TypeVar

T = TypeVar("T")

TIMES = 4
"""Runs of each size, of which the quickest counts: processors that are shared only add to the others."""
SLACK = 6.0
"""In proportion is a hundred times the time for a hundred times the size; caches and allocation make it a few times
more, and anything quadratic a hundred times more."""
FLOOR_S = 2e-5
"""Below that the clock and the call itself are what is measured."""


def quickest_s(run: Callable[[], object]) -> float:
    """The quickest of some runs, in s of the processor: what else the machine does is not measured."""
    best = float("inf")
    for _ in range(TIMES):
        begun = process_time()
        run()
        best = min(best, process_time() - begun)
    return best


def assert_in_proportion(run: Callable[[T], object], make: Callable[[int], T], size: int) -> None:
    """Time grows no faster than the size, from ``size`` to ten and to a hundred times as much."""
    values = {factor: make(size * factor) for factor in (1, 10, 100)}
    once = max(FLOOR_S, quickest_s(lambda: run(values[1])))
    for factor in (10, 100):
        took = quickest_s(lambda value=values[factor]: run(value))  # type: ignore[misc]
        assert took <= once * factor * SLACK, f"{factor} times the size took {took / once:.0f} times the time"


HOSTILE = {
    "brackets that open": "[",
    "brackets that open and close": "[]",
    "quotes": '"',
    "backslashes": "\\",
    "escaped quotes": '\\"',
    "quotes behind escaped backslashes": '\\\\"',
    "letters": "a",
    "dashes": "-",
    "white space": " ",
    "line feeds": "\n",
    "colons": ":",
    "an address": "a://",
    "an address with a user": "a://b:",
    "a password": "password",
    "a token": "token=",
    "half a token": "eyJ",
    "half a signed token": "eyJa.",
    "a bearer": "bearer ",
    "digits": "1",
    "digits and commas": "1,",
    "hexadecimal digits": "a1",
    "a mail address": "a.",
    "half a mail address": "a@",
    "a mail address of many parts": "a@a-",
    "a date": "2026-01-01T",
    "a path": "/a",
    "quoted words": "'a ",
    "a frame": '  File "a", line 1, in a\n',
    "half a frame": '  File "',
    "an object": '{"a":',
    "control characters": "\x00",
    "escapes": "\x1b[2J",
    "letters beyond the plane": "🌍",
}
"""Small pieces that make patterns and parsers stumble when there are many."""


def hostile(piece: str) -> Callable[[int], str]:
    """What makes text of so many characters of a piece, with a quirk in front and an end that fits nothing."""
    return lambda size: piece * (size // len(piece)) + "\x01!"
