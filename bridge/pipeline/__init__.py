"""The heart: from an envelope to an Outcome. Pure: no Celery, no Redis, no clock or dice of its own."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.pipeline.envelope import Envelope, EventCodec, encode_raw, parsed
    from bridge.pipeline.failure import Failure, Stage, describe
    from bridge.pipeline.outcome import Dead, Outcome, Published, Retry, Skipped
    from bridge.pipeline.pipeline import Pipeline, identify
    from bridge.pipeline.snapshot import Snapshot, snapshot_taker

__all__ = [
    "Dead",
    "Envelope",
    "EventCodec",
    "Failure",
    "Outcome",
    "Pipeline",
    "Published",
    "Retry",
    "Skipped",
    "Snapshot",
    "Stage",
    "describe",
    "encode_raw",
    "identify",
    "parsed",
    "snapshot_taker",
]

__getattr__ = on_demand(
    __name__,
    {
        "bridge.pipeline.envelope": {"Envelope", "EventCodec", "encode_raw", "parsed"},
        "bridge.pipeline.failure": {"Failure", "Stage", "describe"},
        "bridge.pipeline.outcome": {"Dead", "Outcome", "Published", "Retry", "Skipped"},
        "bridge.pipeline.pipeline": {"Pipeline", "identify"},
        "bridge.pipeline.snapshot": {"Snapshot", "snapshot_taker"},
    },
)
