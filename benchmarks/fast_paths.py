"""What each fast path of emit and worker saves beside its slow twin: processor time an event, measured in turns.

Needs no server. The pairs are explained in docs/fast-paths.md; bundling and Redis' own scripts are measured there
otherwise.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import kombu.utils.json

from benchmarks.harness import workload
from benchmarks.harness.statistics import percentile
from bridge.catalogs.finance import REGISTRY
from bridge.messages import TaskMessage
from bridge.messages.bundling import Envelopes, pass_on
from bridge.model.events import SSEEvent, encode_payload, json_payload
from bridge.model.events.sse_event import vouched_event
from bridge.model.pipeline import EventCodec, Pipeline
from bridge.model.pipeline.envelope import read_envelope
from bridge.model.pipeline.pipeline import transform
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.model.registry import DomainToSSEMapping, RetryPolicy
from bridge.producer.background_sender import BackgroundSender
from bridge.producer.batching import Unwritten, Written
from bridge.producer.emitter import Emitter
from bridge.redis_adapter import settler
from bridge.settings import Settings

EVENTS = 2_000
"""Events of one pass; a pass of the fast path and one of the slow path make a round."""
ROUNDS = 31
SOURCE = "benchmark"

Pass = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two ways to do one thing.

    Attributes:
        name: what is done.
        path: ``emit`` or ``worker``: of whose time it is a part.
        fast: one pass over all events.
        slow: the same by the slow twin.
        before: what is done before each pass and not measured.
    """

    name: str
    path: str
    fast: Pass
    slow: Pass
    before: Callable[[], object] = lambda: None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every pair and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"passes of each twin, in turns (default {ROUNDS})")
    rounds = parser.parse_args(arguments).rounds
    print("| pair | fast, µs | slow, µs | saves, µs | of the path |\n|---|---|---|---|---|")
    with all_pairs() as (paths, pairs):
        whole = {name: _median_us(path, rounds) for name, path in paths.items()}
        for pair in pairs:
            fast, slow = _alternating_us(pair, rounds)
            share = f"{(slow - fast) / whole[pair.path]:.0%} of {pair.path}"
            print(f"| {pair.name} | {fast:.2f} | {slow:.2f} | {slow - fast:.2f} | {share} |", flush=True)
    print("\n" + ", ".join(f"{name}: {took:.1f} µs an event by the fast paths" for name, took in whole.items()))


def _alternating_us(pair: Pair, rounds: int) -> tuple[float, float]:
    took: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for times, one_pass in zip(took, (pair.fast, pair.slow), strict=True):
            pair.before()
            times.append(_took_us(one_pass))
    return percentile(took[0], 50), percentile(took[1], 50)


def _median_us(one_pass: Pass, rounds: int) -> float:
    return percentile([_took_us(one_pass) for _ in range(rounds)], 50)


def _took_us(one_pass: Pass) -> float:
    begun = time.process_time_ns()
    one_pass()
    return (time.process_time_ns() - begun) / EVENTS / 1e3


@contextmanager
def all_pairs() -> Iterator[tuple[dict[str, Pass], list[Pair]]]:
    """What whole paths cost, by name, and every pair."""
    events = list(workload.events(EVENTS, 100))
    worker = _Worker(events)
    with patch.object(BackgroundSender, "_start", lambda _: True):  # no threads: what is accepted stays in the buffer
        emit = _Emit(events)
        yield {"emit": emit.whole, "worker": worker.whole}, [*emit.pairs(), *worker.pairs()]
        emit.close()


class _Emit:
    """A producer whose events go nowhere."""

    def __init__(self, events: Sequence[Any]) -> None:
        self._events = events
        self._emitter = Emitter(Settings(emit_buffer_max=10 * EVENTS, source=SOURCE), REGISTRY)
        self._emitter.emit_many(events[:1])
        self._background = self._emitter._background
        self._routes = [self._emitter._routes[type(event)] for event in events]

    def pairs(self) -> list[Pair]:
        on_emit = partial(Pair, path="emit")
        return [
            on_emit(name="emit ~ emit_many: the caller's part", fast=self._emit, slow=self._many, before=self._forget),
            on_emit(name="Unwritten ~ Written: the caller's part", fast=self._unwritten, slow=self._written),
            on_emit(
                name="Unwritten ~ Written: with the thread's part",
                fast=lambda: [entry.accepted() for entry in self._unwritten()],
                slow=lambda: [entry.accepted() for entry in self._written()],
            ),
            on_emit(name="write: known types ~ a closer look", fast=self._write, slow=self._look_closer),
        ]

    def whole(self) -> None:
        self._emit()
        self._background.buffer.written(self._background.buffer.front(None))
        self._forget()

    def close(self) -> None:
        self._forget()
        self._emitter.close(0)

    def _forget(self) -> None:
        self._background.progress.note_delivered(self._background.buffer.clear())

    def _emit(self) -> None:
        for event in self._events:
            self._emitter.emit(event)

    def _many(self) -> None:
        for event in self._events:
            self._emitter.emit_many((event,))

    def _unwritten(self) -> list[Unwritten]:
        return [
            Unwritten(route, route.snapshot_of(event), route.user_of(event))  # type: ignore[arg-type]
            for event, route in zip(self._events, self._routes, strict=True)
        ]

    def _written(self) -> list[Written]:
        return [
            Written(route, event.event_id, event.occurred_at, route.codec.write(event), route.user_of(event))
            for event, route in zip(self._events, self._routes, strict=True)
        ]

    def _write(self) -> None:
        for event, route in zip(self._events, self._routes, strict=True):
            route.codec.write(event)

    def _look_closer(self) -> None:
        for event, route in zip(self._events, self._routes, strict=True):
            route.codec._fitting.clear()
            route.codec.write(event)


class _Worker:
    """What a worker does with the events of a burst, but for Celery and Redis."""

    def __init__(self, events: Sequence[Any]) -> None:
        self._events = events
        self._mappings = [REGISTRY.by_class[type(event)] for event in events]
        codecs = {type(event): EventCodec(type(event)) for event in events}
        self._codecs = [codecs[type(event)] for event in events]
        self._envelopes = [codecs[type(event)].encode(event, source=SOURCE) for event in events]
        published = self._transform()
        self._payloads = [event.data for event in published]
        self._addressed = [
            AddressedEvent(event=event, payload=encode_payload(event.data), user_id=event.user_id)
            for event in published
        ]
        self._moments = [event.occurred_at for event in published]
        self._bodies = list(self._messages())
        retry = RetryPolicy(attempts=5, base_s=1, cap_s=60)
        self._pipeline = Pipeline(REGISTRY, retry=retry, event_max_bytes=65_536, random=lambda: 0.5)
        self._call = settler.SettleCall(Settings())
        self._decode()  # codecs make their decoders when they read their first event

    def pairs(self) -> list[Pair]:
        in_worker = partial(Pair, path="worker")
        return [
            in_worker(name="decode: at once ~ in steps", fast=self._decode, slow=self._decode_in_steps),
            in_worker(name="transform: vouched for ~ checked", fast=self._transform, slow=self._transform_checked),
            in_worker(name="encode_payload: flat ~ looked into", fast=self._encode, slow=self._encode_normal),
            in_worker(name="envelopes passed on ~ parsed by Celery", fast=self._pass_on, slow=self._parse_twice),
            in_worker(
                name="times of a batch: at once ~ one by one",
                fast=lambda: settler._moments(self._moments),
                slow=lambda: [moment.isoformat() for moment in self._moments],
            ),
        ]

    def whole(self) -> None:
        self._pass_on()
        self._call.arguments([Delivery(event_type="t", events=self._addressed)])

    def _messages(self) -> Iterator[tuple[DomainToSSEMapping, bytes]]:
        """Messages as a producer makes them of a burst: up to a hundred events of one class each."""
        for mapping in REGISTRY.mappings:
            rows = zip(self._mappings, self._envelopes, strict=True)
            envelopes = [envelope for row, envelope in rows if row is mapping]
            for start in range(0, len(envelopes), 100):
                message = TaskMessage(task="t", queue="q", envelopes=envelopes[start : start + 100])
                yield mapping, message.body()

    def _decode(self) -> None:
        for codec, envelope in zip(self._codecs, self._envelopes, strict=True):
            codec.decode(envelope)

    def _decode_in_steps(self) -> None:
        for codec, envelope in zip(self._codecs, self._envelopes, strict=True):
            codec._decode_in_steps(read_envelope(envelope))

    def _transform(self) -> list[SSEEvent]:
        rows = zip(self._events, self._mappings, strict=True)
        return [event for event in (transform(event, mapping) for event, mapping in rows) if event is not None]

    def _transform_checked(self) -> None:
        with patch("bridge.model.pipeline.pipeline.vouched_event", _checked_event):
            self._transform()

    def _encode(self) -> None:
        for payload in self._payloads:
            encode_payload(payload)

    def _encode_normal(self) -> None:
        with patch.object(json_payload, "_is_flat", lambda _: False):
            self._encode()

    def _pass_on(self) -> None:
        for mapping, body in self._bodies:
            message = SimpleNamespace(body=body, content_type="application/json", content_encoding="utf-8")
            pass_on(message)
            for raw in Envelopes(message.body).split():
                self._pipeline.run(mapping, raw)

    def _parse_twice(self) -> None:
        for mapping, body in self._bodies:
            kombu.utils.json.loads(body.decode())  # in the worker's main process
            for raw in kombu.utils.json.loads(body.decode())[0][0]:  # in the pool's
                self._pipeline.run(mapping, raw)


_OTHERS = tuple(signature(vouched_event).parameters)[5:]


def _checked_event(
    event_type: Any, user_id: Any, data: Any, event_id: Any, occurred_at: Any, *others: Any, **named: Any
) -> SSEEvent:
    """What ``vouched_event`` is given, looked at; whatever further fields it may have."""
    if others:
        named |= zip(_OTHERS, others, strict=False)
    return SSEEvent.for_user(
        user_id, event_type=event_type, data=data, event_id=event_id, occurred_at=occurred_at, **named
    )


if __name__ == "__main__":
    main()
