"""Histograms in the bridge's own tally: which buckets there are, what to add to them, and how they read."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FOREIGN_PRIORITY = "foreign_priority"
"""Field of ``bridge:metrics``: messages of foreign producers that were brought in from priority lists."""
INFINITY = "inf"
SUM = "sum"


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """A histogram as it was read: values up to each bound, as Prometheus wants them."""

    # Bound → how many values were at most that; cumulated, in the histogram's unit
    buckets: tuple[tuple[int, int], ...]
    count: int  # how many values
    sum: int  # of all values


class Histogram:
    """Buckets in ``bridge:metrics``: field ``<name>:<bound>`` → values above the bound before it, and at most this one.

    Args:
        name: name of the fields; ends in the unit.
        bounds: ascending. Changing them leaves the old fields behind, so add, and never move, a bound.
    """

    __slots__ = ("_bounds", "_fields", "_sum_field")

    def __init__(self, name: str, bounds: Sequence[int]) -> None:
        self._bounds = tuple(bounds)
        self._fields = tuple(f"{name}:{bound}" for bound in (*bounds, INFINITY))
        self._sum_field = f"{name}:{SUM}"

    def tally(self, values: Sequence[float]) -> list[tuple[str, int]]:
        """The fields that grow, and by how much. A value below 0, which clocks that disagree give, counts as 0."""
        if not values:
            return []
        bounds, fields = self._bounds, self._fields
        total = 0.0
        grown: dict[str, int] = {}
        for value in values:
            if value > 0:
                total += value
            field = fields[bisect_left(bounds, value)]
            grown[field] = grown.get(field, 0) + 1
        grown[self._sum_field] = round(total)
        return list(grown.items())

    def read(self, fields: Mapping[str, int]) -> Distribution:
        """What stands in the hash."""
        buckets = []
        count = 0
        for bound, field in zip(self._bounds, self._fields, strict=False):
            count += fields.get(field, 0)
            buckets.append((bound, count))
        return Distribution(
            buckets=tuple(buckets),
            count=count + fields.get(self._fields[-1], 0),
            sum=fields.get(self._sum_field, 0),
        )


PUBLISH_DELAY_MS = Histogram(
    "publish_delay_ms",
    (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000),
)
"""From the event's own time to its publication."""
EXTRACT_US = Histogram(
    "extract_us",
    (50, 100, 250, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 1_000_000, 10_000_000),
)
"""What one event's decoding, extractors and encoding took."""
