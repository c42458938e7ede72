"""What processes say of themselves, by process in a hash of their kind; and how events ended lately, by samples."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
import redis
import redis.asyncio

from bridge.model.accounting import Recent
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter.client import is_number, keyspace_of, store_errors, text
from bridge.redis_adapter.script import OfStore, script
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported, WorkerReport, told_apart
from bridge.runtime.supervision import Supervised

logger = plain_logger(__name__)

WORKERS_KEPT_S = 86_400
"""A worker that was silent for longer is swept when another one starts."""
PRODUCERS_MAX = 1000
"""Producers that are remembered; those that said nothing for longest fall off."""
GATEWAYS_KEPT_S = 60
"""A gateway process that was silent for longer is gone, and so are its streams."""
METRIC_PREFIX = "gateway:"
MENDED = (
    "what bridge:counts held there was no number, so somebody else writes to this database. It is computed from the "
    "other counts, so that the accounting balances; whether it did before cannot be told any more."
)
SAMPLE_MS = 5_000
"""Between two samples at the least."""
SAMPLES_MAX = 36
"""Samples that are kept: three minutes."""
WINDOW_MS = 60_000
"""How far back a reader looks, to the nearest sample."""
SAMPLED = ("published", "duplicate", "skipped", "dead", "dead_bundled")
"""Counts in a sample, in this order."""


class Workers(OfStore):
    """``bridge.ports.WorkerReports`` on Redis."""

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        """One script call, which also mends the counts, and samples them every SAMPLE_MS, whoever comes first."""
        silence_ms = WORKERS_KEPT_S * 1000 if sweep else ""
        limits = (silence_ms, SAMPLE_MS, SAMPLES_MAX)
        mended = self._run("beat", [name, msgspec.json.encode(report), *limits, *SAMPLED])
        if mended:
            logger.error("bridge.counts.mended %s: %s", ", ".join(map(text, mended)), MENDED)

    def leave(self, name: str) -> None:
        """Forget a worker that stops. Idempotent."""
        with store_errors():
            self._client.hdel(self._keys.WORKERS, name)

    def known(self) -> tuple[KnownWorker, ...]:
        """One round trip; ages are by Redis' clock."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(self._keys.WORKERS)
            (seconds, microseconds), records = pipeline.execute()
        now_ms = seconds * 1000 + microseconds // 1000
        read = (read_worker(text(name), record, now_ms) for name, record in records.items())
        return told_apart([worker for worker in read if worker is not None])


def _moment(word: str) -> int:
    """A number as a script writes it; ValueError for what a stranger wrote."""
    if not is_number(word):
        raise ValueError(word)
    return int(word)


def read_worker(name: str, record: bytes | str, now_ms: int) -> KnownWorker | None:
    """None for what another version wrote."""
    at, _, report = text(record).partition(" ")
    try:
        said = msgspec.json.decode(report, type=WorkerReport)
        silent_s = max(0, now_ms - _moment(at)) / 1000
        return KnownWorker(name=f"{said.host}:{said.pid}", silent_s=silent_s, report=said, process=name)
    except PARSER_ERRORS:
        return None


class Producers(OfStore):
    """``bridge.ports.ProducerReports`` on Redis."""

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        """One script call, or an HDEL for None; beyond PRODUCERS_MAX a tenth falls off. Idempotent."""
        if report is None:
            with store_errors():
                self._client.hdel(self._keys.PRODUCERS, producer)
            return
        fields = msgspec.to_builtins(report)
        del fields["at"]
        self._run("report", [PRODUCERS_MAX, producer, msgspec.json.encode(fields)[1:]])

    def all(self) -> list[Reported]:
        """One round trip, the oldest report first; ages are by Redis' clock."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(self._keys.PRODUCERS)
            (seconds, microseconds), values = cast(
                "tuple[tuple[int, int], dict[bytes, bytes]]", tuple(pipeline.execute())
            )
        now_ms = seconds * 1000 + microseconds / 1000
        found = ((text(name), read_producer(value)) for name, value in values.items())
        reports = [
            Reported(producer=name, age_s=max(0.0, now_ms - report.at) / 1000, report=report)
            for name, report in found
            if report is not None
        ]
        return sorted(reports, key=lambda reported: reported.report.at)


def read_producer(value: bytes) -> ProducerReport | None:
    """None for what another version wrote."""
    try:
        return msgspec.json.decode(value, type=ProducerReport)
    except PARSER_ERRORS:
        return None


class Gateways:
    """``bridge.ports.GatewayReports`` on Redis."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._add = script("gateway")

    async def add(
        self,
        name: str,
        *,
        connections: int,
        grown: Mapping[str, int],
        troubled: Sequence[Supervised] = (),
        catalog: str = "-",
    ) -> str:
        """One script call."""
        state = f"{connections} {catalog}"
        if troubled:
            state += f" {msgspec.json.encode(troubled).decode()}"
        args: list[str | int] = [name, state, GATEWAYS_KEPT_S * 1000]
        for counter, number in grown.items():
            args += (METRIC_PREFIX + counter, number)
        with store_errors():
            began = await self._add.run_async(self._client, args)
        return text(began)

    async def leave(self, name: str) -> None:
        """One round trip."""
        with store_errors():
            await self._client.hdel(self._keys.GATEWAYS, name)


def read_gateways(records: Mapping[bytes, bytes], now_ms: int) -> GatewayStates:
    """The processes that ``bridge:gateways`` tells of."""
    living = {}
    catalogs = []
    for name, record in records.items():
        at, streams, catalog, *threads = [*text(record).split(" ", 3), "", ""]
        if not (is_number(at) and is_number(streams)):
            continue  # a stranger's
        if now_ms - int(at) <= GATEWAYS_KEPT_S * 1000:
            living[text(name)] = (int(streams), _troubled(threads[0]))
            catalogs.append((text(name).rpartition(":")[0], catalog))
    return GatewayStates(
        processes=len(living),
        connections=sum(streams for streams, _ in living.values()),
        threads={name: threads for name, (_, threads) in sorted(living.items()) if threads},
        catalogs=tuple(catalogs),
    )


def _troubled(written: str) -> tuple[Supervised, ...]:
    try:
        return msgspec.json.decode(written or "[]", type=tuple[Supervised, ...])
    except PARSER_ERRORS:
        return ()


def read_recent(samples: Sequence[bytes], counts: Mapping[str, int], now_ms: int) -> Recent:
    """What has happened since the newest sample that is a minute old, or since the oldest.

    Args:
        samples: newest first; what cannot be read is passed over.
        counts: the present ones.
        now_ms: Redis time.
    """
    read = [
        sample for sample in map(_read_sample, samples) if sample is not None and now_ms - sample[0] <= 2 * WINDOW_MS
    ]
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


def _read_sample(sample: bytes) -> list[int] | None:
    try:
        numbers = list(map(_moment, text(sample).split()))
    except ValueError:
        return None
    return numbers if len(numbers) == 1 + len(SAMPLED) else None
