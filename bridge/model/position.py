"""``Position``: a place in the one order of all events; pure."""

from functools import total_ordering


@total_ordering
class Position:
    """A place in the order of all events of all streams, written ``<ms>-<seq>``. Immutable.

    Raises:
        ValueError: the text is no position.
    """

    __slots__ = ("_order", "_text")

    def __init__(self, value: str) -> None:
        ms, separator, seq = value.partition("-")
        if not (separator and ms.isascii() and ms.isdigit() and seq.isascii() and seq.isdigit()):
            raise ValueError(f"{value!r} is no position; it is written <ms>-<seq>.")
        self._text = value
        self._order = (int(ms), int(seq))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Position({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and self._order == other._order

    def __lt__(self, other: "Position") -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)


START = Position("0-0")
"""Before everything."""
