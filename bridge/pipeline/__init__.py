"""The heart: from an envelope to an Outcome. Pure: no Celery, no Redis, no clock or dice of its own."""

from bridge.pipeline.envelope import ESCAPED_BYTES, Envelope, EventCodec, encode_raw, parsed
from bridge.pipeline.failure import Failure, Stage, describe
from bridge.pipeline.outcome import Dead, Outcome, Published, Retry, Skipped
from bridge.pipeline.pipeline import Pipeline, identify
from bridge.pipeline.transform import transform

__all__ = [
    "ESCAPED_BYTES",
    "Dead",
    "Envelope",
    "EventCodec",
    "Failure",
    "Outcome",
    "Pipeline",
    "Published",
    "Retry",
    "Skipped",
    "Stage",
    "describe",
    "encode_raw",
    "identify",
    "parsed",
    "transform",
]
