"""The pipeline: from an envelope to an Outcome. Pure: no Celery, no Redis, no clock or dice of its own."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.model.pipeline.envelope import Envelope, EventCodec, encode_raw, parsed
    from bridge.model.pipeline.failure import Failure, Stage, describe
    from bridge.model.pipeline.pipeline import Dead, Outcome, Pipeline, Published, Retry, Skipped, identify
    from bridge.model.pipeline.snapshot import Snapshot, snapshot_taker

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.model.pipeline.envelope": "Envelope EventCodec encode_raw parsed",
        "bridge.model.pipeline.failure": "Failure Stage describe",
        "bridge.model.pipeline.pipeline": "Dead Outcome Pipeline Published Retry Skipped identify",
        "bridge.model.pipeline.snapshot": "Snapshot snapshot_taker",
    },
)
