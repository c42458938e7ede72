"""A producer process: ``python -m benchmarks.harness.producing <module> <mode> ...``; talks JSON lines on stdout.

It prepares, sends its warm-up, says ``ready``, waits for a line on stdin, does its work, and says what it measured.
It ends when stdin is closed. Times are CLOCK_MONOTONIC in ns, which all processes of a machine share.
"""

import argparse
import asyncio
import inspect
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Awaitable
from importlib import import_module
from typing import Any

from benchmarks.harness import workload


async def main() -> None:
    """Do what the arguments say."""
    options = _parse()
    sender = import_module(options.module).Sender()
    await _settle(sender.each(workload.warm_up(options.warm_up)))
    await _settle(sender.finish())
    run = _paced if options.mode == "paced" else _unpaced
    prepared = _prepare(options)
    _say({"ready": True})
    sys.stdin.readline()
    _say(await run(sender, prepared, options))
    # A paced run ends with its last call; what that call left to a thread must still get its chance.
    sys.stdin.readline()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("mode", choices=["burst", "each", "paced"])
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1000, help="events a second (paced)")
    parser.add_argument("--part", type=int, default=100_000, help="events that are made before they are sent")
    parser.add_argument("--deadline", type=float, default=60, help="seconds after which a paced run ends itself")
    return parser.parse_args()


def _prepare(options: argparse.Namespace) -> list[Any]:
    if options.mode == "paced":
        return [workload.numbered(index, options.users) for index in range(options.events)]
    return list(workload.events(min(options.events, options.part), options.users))


async def _unpaced(sender: Any, prepared: list[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Send all; what does not fit into one part is made in between, which counts as the producer's work."""
    send = sender.burst if options.mode == "burst" else sender.each
    cpu_s = time.process_time()
    started_ns = time.monotonic_ns()
    done = 0
    while prepared:
        await _settle(send(prepared))
        done += len(prepared)
        left = min(options.part, options.events - done)
        prepared = list(workload.events(left, options.users, first=done))
    handed_over_ns = time.monotonic_ns()
    await _settle(sender.finish())
    return {
        "started_ns": started_ns,
        "handed_over_ns": handed_over_ns,
        "finished_ns": time.monotonic_ns(),
        "cpu_s": time.process_time() - cpu_s,
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


async def _paced(sender: Any, prepared: list[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Send one by one at a steady rate; how long each call took, and when it began.

    A call that raises counts by the time it took. A run that does not end in time ends itself and says so, with the
    time that the last call has been blocked for.
    """
    calls_ns: list[int] = []
    sent_ns: list[int] = []
    failures: list[str] = []

    def result(*, blocked_ns: int = 0) -> dict[str, Any]:
        return {
            "calls_ns": calls_ns[:],
            "sent_ns": sent_ns[:],
            "failed": len(failures),
            "failure": failures[0] if failures else "",
            "blocked_ns": blocked_ns,
            "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    def give_up() -> None:
        _say(result(blocked_ns=time.monotonic_ns() - sent_ns[-1] if len(sent_ns) > len(calls_ns) else 0))
        os._exit(0)

    watch = threading.Timer(options.deadline, give_up)
    watch.daemon = True
    watch.start()
    one, waits = sender.one, inspect.iscoroutinefunction(sender.one)
    began_ns = time.monotonic_ns()
    for index, event in enumerate(prepared):
        pause_s = (began_ns + index / options.rate * 1e9 - time.monotonic_ns()) / 1e9
        if pause_s > 0:
            # Synchronous code sleeps as a thread does; nothing else runs in this loop then.
            await asyncio.sleep(pause_s) if waits else time.sleep(pause_s)  # noqa: ASYNC251
        before = time.monotonic_ns()
        sent_ns.append(before)
        try:
            if waits:
                await one(event)
            else:
                one(event)
        except Exception as error:  # what a library raises when its broker is away is what we measure
            failures.append(f"{type(error).__name__}: {error}"[:200])
        calls_ns.append(time.monotonic_ns() - before)
    watch.cancel()
    return result()


async def _settle(answer: Awaitable[None] | None) -> None:
    if answer is not None:
        await answer


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    # What is still buffered for a broker that is away must not keep the harness waiting.
    os._exit(0)
