"""What a gateway process counts: each name with its sentence, for one process and for all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

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
