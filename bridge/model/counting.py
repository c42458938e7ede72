"""What is counted: by each gateway process, and in histograms of the bridge's own tally; each with its sentence."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

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
        bounds, names = self._bounds, self._fields
        total = 0.0
        grown: dict[str, int] = {}
        for value in values:
            if value > 0:
                total += value
            name = names[bisect_left(bounds, value)]
            grown[name] = grown.get(name, 0) + 1
        grown[self._sum_field] = round(total)
        return list(grown.items())

    def read(self, found: Mapping[str, int]) -> Distribution:
        """What stands in the hash."""
        buckets = []
        count = 0
        for bound, name in zip(self._bounds, self._fields, strict=False):
            count += found.get(name, 0)
            buckets.append((bound, count))
        return Distribution(
            buckets=tuple(buckets),
            count=count + found.get(self._fields[-1], 0),
            sum=found.get(self._sum_field, 0),
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


COUNTERS_STATE = "bridge_gateway_counters"
"""Name in the lifespan's state, by which a server's own protocol finds the counters of the gateway that it serves."""


def _counted(text: str) -> Any:
    return field(default=0, metadata={"text": text})


@dataclass(kw_only=True, slots=True)
class Counters:
    """Tallies of one process since its start. Only its event loop changes them."""

    streams_opened: int = _counted("Streams that got their 200.")
    requests_refused: int = _counted("Requests answered with an error instead of a stream, or sent away for a while.")
    users_full: int = _counted("Requests sent away because their user had too many streams open; among the refused.")
    requests_crowded_out: int = _counted("Connections closed, oldest first, as too many had not sent a whole request.")
    cut_too_slow: int = _counted("Clients cut because their queue was full.")
    cut_stalled: int = _counted("Clients cut because they took nothing for BRIDGE_GATEWAY_SEND_TIMEOUT_S.")
    connections_lost: int = _counted("Streams ended, or not begun, as their connection ended without a server's word.")
    tokens_expired: int = _counted("Streams ended at their token's end.")
    tickets_issued: int = _counted("Tickets issued by this gateway.")
    rights_withdrawn: int = _counted("Streams ended because their user or session was disconnected.")
    topics_opened: int = _counted("Streams that got their 200 and hear topics; among the opened.")
    topics_unknown: int = _counted("Requests for topics that there are not, or for too many; among the refused.")
    topics_forbidden: int = _counted("Requests for topics that the client may not hear; among the refused.")
    topics_rechecked: int = _counted("Times that it was asked again whether an open stream may hear its topics.")
    topics_withdrawn: int = _counted("Streams ended because they may not hear one of their topics any more.")
    topics_unconfirmed: int = _counted("Streams ended because it could not be asked for long whether they may.")
    topic_rule_failures: int = _counted("Topics of which the application did not say whether a client may hear them.")
    streams_failed: int = _counted("Streams ended by a fault of the gateway.")
    authenticator_failures: int = _counted("Requests on which the authenticator raised, hung, or named no user.")
    keys_not_fetched: int = _counted("Times that the issuer's keys could not be fetched; those known before count on.")
    replays: int = _counted("Streams that began with a Last-Event-ID.")
    resets: int = _counted("stream.reset frames sent.")
    backfills: int = _counted("Histories read to the end, for a replay, after an outage, or now and then.")
    backfill_retries: int = _counted("Histories that could not be read because Redis was away.")
    events_sent: int = _counted("Event frames sent.")
    heartbeats_sent: int = _counted("Comments sent after silence.")
    messages_malformed: int = _counted("Pub/sub messages and stream entries that were no events.")
    events_unknown: int = _counted("Events dropped because no client could listen to their name.")
    redis_losses: int = _counted("Times that the subscribing connection was lost.")
    redis_set_back: int = _counted("Times that Redis knew no more what had been heard before a loss: it was set back.")

    def as_dict(self) -> dict[str, int]:
        """Every tally by name."""
        return asdict(self)


TEXTS: Mapping[str, str] = {one.name: one.metadata["text"] for one in fields(Counters)}
"""Name of a counter → what it counts."""
