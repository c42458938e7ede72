"""How events ended lately: samples of the counts, which workers take as they report, and what they say together."""

from collections.abc import Mapping, Sequence

from bridge.model.accounting import Recent
from bridge.redis_adapter.client import text

SAMPLE_MS = 5_000
"""Between two samples at the least."""
SAMPLES_MAX = 36
"""Samples that are kept: three minutes."""
WINDOW_MS = 60_000
"""How far back a reader looks, to the nearest sample."""
SAMPLED = ("published", "duplicate", "skipped", "dead", "dead_bundled")
"""Counts in a sample, in this order."""


def read_recent(samples: Sequence[bytes], counts: Mapping[str, int], now_ms: int) -> Recent:
    """What has happened since the newest sample that is a minute old, or since the oldest.

    Args:
        samples: newest first; what cannot be read is passed over.
        counts: the present ones.
        now_ms: Redis time.
    """
    read = [sample for sample in map(_read, samples) if sample is not None and now_ms - sample[0] <= 2 * WINDOW_MS]
    if not read:
        return Recent()
    at_ms, *before = next((sample for sample in read if now_ms - sample[0] >= WINDOW_MS), read[-1])
    grown = {name: max(0, counts.get(name, 0) - old) for name, old in zip(SAMPLED, before, strict=True)}
    dead = grown["dead"] + grown["dead_bundled"]
    return Recent(
        seconds=max(0, now_ms - at_ms) / 1000,
        ended=sum(grown.values()),
        dead=dead,
        letters=grown["dead"],
        since_ms=at_ms,
    )


def _read(sample: bytes) -> list[int] | None:
    try:
        numbers = [int(word) for word in text(sample).split()]
    except ValueError:
        return None
    return numbers if len(numbers) == 1 + len(SAMPLED) else None
