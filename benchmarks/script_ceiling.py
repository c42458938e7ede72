"""How near the worker comes to what Redis can do: redis-benchmark calls the same script with the same batches."""

import shutil
import subprocess
from collections.abc import Sequence
from itertools import groupby

from benchmarks.harness import workload
from benchmarks.harness.questions import Options, Result, parse, rounds
from benchmarks.harness.stores import running_store
from benchmarks.harness.throughput import Load, measure
from benchmarks.peers import BY_NAME
from bridge.catalogs.finance import REGISTRY
from bridge.model.events import encode_payload
from bridge.model.pipeline.pipeline import transform
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery
from bridge.redis_adapter.script import script
from bridge.redis_adapter.settler import SettleCall
from bridge.settings import Settings

BATCHES = (500, 100, 1)
EVENTS = 100_000
USERS = 100
RANDOM = "__rand_int__"
"""redis-benchmark puts a new number here in each call: without that, every event but the first is a duplicate."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``script_ceiling.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """redis-benchmark with one connection, as one worker has; then the bridge's own bursts."""
    result = Result("script_ceiling", "The bridge beside redis-benchmark with the same script", options)
    if shutil.which("redis-benchmark") is None:
        result.missing["redis-benchmark"] = "redis-benchmark is not on PATH"
        return result
    events = options.scaled(EVENTS)
    cases = [*(("redis-benchmark", size) for size in BATCHES), ("bridge", 500), ("bridge_single", 1)]

    def one(case: tuple[str, int]) -> dict[str, float]:
        name, size = case
        if name == "redis-benchmark":
            return {"events_s": _ceiling(size, max(10_000, events) if size > 1 else max(5_000, events // 5))}
        peer = BY_NAME[name]
        return measure(peer, Load(mode="burst", events=options.scaled(peer.burst_events), users=USERS)).to_dict()

    rows = rounds(cases, options.runs, one, lambda case: f"{case[0]}, {case[1]} events a call")
    for (name, size), row in zip(cases, rows, strict=True):
        result.rows.append({"peer": name, "batch": size, **row})
    return result


def _ceiling(size: int, events: int) -> float:
    calls = events // size
    with running_store() as store:
        digest = str(store.client.script_load(script("settle").text))
        keys, limits, batch = representative_batch(size)
        assert b"\0" not in batch
        command = ["EVALSHA", digest, str(len(keys)), *keys, *limits]
        answer = subprocess.run(
            [
                "redis-benchmark",
                *("-p", store.url.rpartition(":")[2].partition("/")[0], "-n", str(calls), "-c", "1"),
                # The batch, the script's last argument, holds bytes that a command line cannot.
                *("-r", str(2**31 - 1), "--csv", "-x", *command),
            ],
            input=batch,
            capture_output=True,
            check=True,
            timeout=300,
        )
        published = store.published("publish")
    if published < 0.99 * calls * size:
        raise AssertionError(f"of {calls * size} events only {published} were published: the rest were duplicates")
    return _rate(answer.stdout.decode()) * size


def _rate(output: str) -> float:
    """The column ``rps`` of the last line; the first column is the whole command, which holds commas and quotes."""
    header, *_, row = output[output.index('"test"') :].strip().splitlines()
    columns = header.split(",")
    return float(row.rsplit(",", len(columns) - 1)[columns.index('"rps"')].strip('"'))


def representative_batch(size: int) -> tuple[list[str], list[str], bytes]:
    """KEYS, limits and batch as the worker sends them for one class of the workload, new ids in each call."""
    call = SettleCall(Settings())
    addressed = []
    events = list(workload.events(4 * size, USERS))
    _, of_one_class = next(groupby(sorted(events, key=lambda event: type(event).__name__), type))
    for event in of_one_class:
        mapping = REGISTRY.by_class[type(event)]
        published = transform(event, mapping)
        assert published is not None
        payload = encode_payload(published.data)
        addressed.append(AddressedEvent(event=published, payload=payload, user_id=published.user_id))
    event_type = addressed[0].event.event_type.value
    # Without a message: its place in the books would be new in the first call only. Its record_bytes are not looked
    # at then, but redis-benchmark ends an argument at the first zero byte.
    delivery = Delivery(event_type=event_type, events=addressed, message_id=DIRECT, whole=("", ""))
    keys, arguments = call.arguments([delivery])
    *limits, batch = arguments
    assert isinstance(batch, bytes)
    for one in addressed:
        event_id = str(one.event.event_id)
        # The random number stands where the id's own random part does.
        batch = batch.replace(event_id.encode(), (event_id[:24] + RANDOM).encode())
    return list(keys), [str(limit) for limit in limits], batch


if __name__ == "__main__":
    main()
