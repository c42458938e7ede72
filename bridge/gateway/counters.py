"""What a gateway process counts, all names in one place; exporting them is left to others."""

from dataclasses import asdict, dataclass


@dataclass(kw_only=True, slots=True)
class Counters:
    """Tallies of one process since its start. Only its event loop changes them.

    Attributes:
        streams_opened: streams that got their 200.
        requests_refused: requests answered with an error instead of a stream, or sent away for a while.
        users_full: requests sent away because their user had as many streams as one may have; among the refused.
        cut_too_slow: clients cut because their queue was full.
        cut_stalled: clients cut because they took nothing for ``gateway_send_timeout_s``.
        connections_lost: streams ended, or not begun, because their connection had ended and the server said nothing.
        tokens_expired: streams ended at their token's end.
        streams_failed: streams ended by a fault of ours.
        authenticator_failures: requests over which the application's own authenticator raised, hung or returned
            what is no Principal.
        replays: streams that began with a Last-Event-ID.
        resets: ``stream.reset`` frames sent.
        backfills: histories read to the end, for a replay, after an outage, or now and then.
        backfill_retries: histories that could not be read because Redis was away.
        events_sent: event frames sent.
        heartbeats_sent: comments sent after silence.
        messages_malformed: pub/sub messages and stream entries that were no events of ours.
        events_unknown: events that were dropped because no client could listen to their name.
        redis_losses: times the subscribing connection was lost.
        redis_set_back: times Redis did not know any more what had been heard before a loss.
    """

    streams_opened: int = 0
    requests_refused: int = 0
    users_full: int = 0
    cut_too_slow: int = 0
    cut_stalled: int = 0
    connections_lost: int = 0
    tokens_expired: int = 0
    streams_failed: int = 0
    authenticator_failures: int = 0
    replays: int = 0
    resets: int = 0
    backfills: int = 0
    backfill_retries: int = 0
    events_sent: int = 0
    heartbeats_sent: int = 0
    messages_malformed: int = 0
    events_unknown: int = 0
    redis_losses: int = 0
    redis_set_back: int = 0

    def as_dict(self) -> dict[str, int]:
        """Every tally by name."""
        return asdict(self)
