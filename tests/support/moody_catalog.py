"""A catalog whose extractors misbehave as their event says; for tests of the failure path.

Attempts are counted in the folder MOODY_DIR, one byte an attempt, so that they survive the process.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from bridge import Audience, DomainEvent, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata


class Category(StrEnum):
    MOODS = "moods"
    NEWS = "news"


class EventType(StrEnum):
    MOOD_SHOWN = "mood.shown"
    NEWS_ANNOUNCED = "news.announced"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moody(DomainEvent):
    """``mode`` says how its extractor behaves; ``times`` how often, where that matters."""

    mode: str = "ok"
    times: int = 0
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced(DomainEvent):
    text: str


class HostileError(Exception):
    """Its own text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text for you")


_RAISED: dict[str, type[BaseException]] = {
    "hostile": HostileError,
    "cancelled": asyncio.CancelledError,
    "generator exit": GeneratorExit,
    "interrupt": KeyboardInterrupt,
}


def attempts_of(folder: Path, event_id: UUID) -> int:
    """How often an event's extractor ran."""
    path = folder / str(event_id)
    return path.stat().st_size if path.exists() else 0


def _count(event: Moody) -> int:
    folder = Path(os.environ["MOODY_DIR"])
    with (folder / str(event.event_id)).open("ab") as file:
        file.write(b".")
    return attempts_of(folder, event.event_id)


def _extract(event: Moody) -> dict[str, Any]:
    if event.mode != "sample":
        _misbehave(event, _count(event))
    return {"number": event.number, "mode": event.mode}


def _misbehave(event: Moody, attempt: int) -> None:
    if event.mode in _RAISED:
        raise _RAISED[event.mode]
    match event.mode:
        case "fail" if attempt <= event.times:
            raise ValueError(f"attempt {attempt} of event {event.number} fails; password=hunter2")
        case "permanent" if not event.times or attempt <= event.times:
            raise PermanentError("It makes no sense to try this again.")
        case "massacre":
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        case "slow":
            time.sleep(SLOW_S)
        case mode if mode in _DEADLY and attempt <= event.times:
            _DEADLY[mode]()


SLOW_S = float(os.environ.get("SLOW_S", "0.02"))
"""How long the extractor of a slow event takes."""
SCARCE_BYTES = 16_000_000


def _ignore_every_warning() -> None:
    """Catch the soft time limit, as careless code does; only the hard one ends this."""
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(3600)


def _take_more_memory_than_there_is() -> None:
    """Meet a real limit of the process's memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + SCARCE_BYTES, before[1]))
    try:
        bytearray(100 * SCARCE_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _leave_no_file_to_open() -> None:
    """Behave like one who has opened files again and again, and closed none: the settling cannot reach Redis."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))


_DEADLY: dict[str, Callable[[], object]] = {
    "exit": lambda: sys.exit(3),
    "_exit": lambda: os._exit(5),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(3600),
    "stubborn": _ignore_every_warning,
    "leaky": _leave_no_file_to_open,
    "greedy": _take_more_memory_than_there_is,
    "forking": os.fork,
    "forking and raising": lambda: 1 // os.fork(),
    "forking and leaving": lambda: os.fork() or sys.exit(),
}


def _payload_nan(event: Moody) -> dict[str, Any]:
    payload = _extract(event)
    return {**payload, "number": float("nan")} if event.mode == "nan" else payload


registry = Registry(
    event_types=EventType,
    categories=Category,
    events=[
        SSEEventMetadata(EventType.MOOD_SHOWN, Category.MOODS, "Somebody is in a mood", ("number", "mode")),
        SSEEventMetadata(EventType.NEWS_ANNOUNCED, Category.NEWS, "News for everybody", ("text",)),
    ],
    mappings=[
        DomainToSSEMapping(
            Moody,
            EventType.MOOD_SHOWN,
            _payload_nan,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=3, base_s=0.05, cap_s=0.2),
            example=lambda: Moody(user_id=None, mode="sample"),
        ),
        DomainToSSEMapping(
            Announced,
            EventType.NEWS_ANNOUNCED,
            lambda event: {"text": event.text},
            lambda event: event.user_id,
            audience=Audience.BROADCAST,
        ),
    ],
)
