"""Medians, percentiles and ratios; pure."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """The runs of one measurement in three numbers; the median is the result."""

    median: float
    lowest: float
    highest: float
    runs: int

    def to_dict(self) -> dict[str, float]:
        """As it stands in a result."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Median and extremes.

    Raises:
        ValueError: there are no values.
    """
    return Spread(median=percentile(values, 50), lowest=min(values), highest=max(values), runs=len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` (0..100) of the values lie; between two neighbours, a straight line.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def ratio(ours: float, theirs: float) -> float | None:
    """How many times theirs ours is; None when theirs is nothing."""
    return ours / theirs if theirs else None
