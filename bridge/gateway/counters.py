"""What a gateway process counts, all names in one place; exporting them is left to others."""

from dataclasses import asdict, dataclass

COUNTERS_STATE = "bridge_gateway_counters"
"""Name in the lifespan's state, by which a server's own protocol finds the counters of the gateway that it serves."""


@dataclass(kw_only=True, slots=True)
class Counters:
    """Tallies of one process since its start. Only its event loop changes them."""

    streams_opened: int = 0  # streams that got their 200
    requests_refused: int = 0  # requests answered with an error instead of a stream, or sent away for a while
    users_full: int = 0  # requests sent away because their user had as many streams as one may have; among the refused
    requests_crowded_out: int = 0  # connections closed because too many had not sent a whole request, oldest first
    cut_too_slow: int = 0  # clients cut because their queue was full
    cut_stalled: int = 0  # clients cut because they took nothing for ``gateway_send_timeout_s``
    # Streams ended, or not begun, because their connection had ended and the server said nothing
    connections_lost: int = 0
    tokens_expired: int = 0  # streams ended at their token's end
    streams_failed: int = 0  # streams ended by a fault of ours
    # Requests over which the application's own authenticator raised, hung or returned what is no Principal
    authenticator_failures: int = 0
    replays: int = 0  # streams that began with a Last-Event-ID
    resets: int = 0  # ``stream.reset`` frames sent
    backfills: int = 0  # histories read to the end, for a replay, after an outage, or now and then
    backfill_retries: int = 0  # histories that could not be read because Redis was away
    events_sent: int = 0  # event frames sent
    heartbeats_sent: int = 0  # comments sent after silence
    messages_malformed: int = 0  # pub/sub messages and stream entries that were no events of ours
    events_unknown: int = 0  # events that were dropped because no client could listen to their name
    redis_losses: int = 0  # times the subscribing connection was lost
    redis_set_back: int = 0  # times Redis did not know any more what had been heard before a loss

    def as_dict(self) -> dict[str, int]:
        """Every tally by name."""
        return asdict(self)
