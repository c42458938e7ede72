"""A catalog in which time matters: events that last, and events whose next attempt is most of an hour away.

Attempts are counted in the folder MOODY_DIR, as those of the moody catalog.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from bridge import DomainEvent, DomainToSSEMapping, PermanentError, Registry, RetryPolicy, SSEEventMetadata
from tests.support.moody_catalog import attempts_of

HOUR_S = 3600.0


class Category(StrEnum):
    QUICK = "quick"
    LASTING = "lasting"
    POSTPONED = "postponed"


class EventType(StrEnum):
    QUICK_DONE = "quick.done"
    LASTING_DONE = "lasting.done"
    POSTPONED_DONE = "postponed.done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quick(DomainEvent):
    """Fails as often as it says, or for good."""

    number: int = 0
    fails: int = 0
    hopeless: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Lasting(DomainEvent):
    """Takes its time at the first attempt; ``deaf``: also when it is told that time runs out."""

    lasts_s: float
    deaf: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Postponed(DomainEvent):
    """Fails once; the next attempt is due at some time within an hour."""

    number: int = 0


def _count(event: DomainEvent) -> int:
    folder = Path(os.environ["MOODY_DIR"])
    with (folder / str(event.event_id)).open("ab") as file:
        file.write(b".")
    return attempts_of(folder, event.event_id)


def _quick(event: Quick) -> dict[str, Any]:
    if event.hopeless:
        raise PermanentError("It makes no sense to try this again.")
    if event.fails and _count(event) <= event.fails:
        raise ValueError("It will work next time.")
    return {"number": event.number}


def _lasting(event: Lasting) -> dict[str, Any]:
    ends_at = time.monotonic() + event.lasts_s
    again = _count(event) > 1
    while not again and (left_s := ends_at - time.monotonic()) > 0:
        with suppress(SoftTimeLimitExceeded if event.deaf else ()):
            time.sleep(left_s)
    return {"lasts_s": event.lasts_s}


def _postponed(event: Postponed) -> dict[str, Any]:
    if _count(event) == 1:
        raise ValueError("Much later.")
    return {"number": event.number}


registry = Registry(
    event_types=EventType,
    categories=Category,
    events=[
        SSEEventMetadata(EventType.QUICK_DONE, Category.QUICK, "Something quick is done", ("number",)),
        SSEEventMetadata(EventType.LASTING_DONE, Category.LASTING, "Something lasted", ("lasts_s",)),
        SSEEventMetadata(EventType.POSTPONED_DONE, Category.POSTPONED, "At last", ("number",)),
    ],
    mappings=[
        DomainToSSEMapping(
            Quick,
            EventType.QUICK_DONE,
            _quick,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=3, base_s=0.05, cap_s=0.2),
            example=lambda: Quick(user_id=None),
        ),
        DomainToSSEMapping(
            Lasting,
            EventType.LASTING_DONE,
            _lasting,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=3, base_s=0.05, cap_s=0.2),
            example=lambda: Lasting(user_id=None, lasts_s=0),
        ),
        DomainToSSEMapping(
            Postponed,
            EventType.POSTPONED_DONE,
            _postponed,
            lambda event: event.user_id,
            retry=RetryPolicy(attempts=3, base_s=HOUR_S, cap_s=HOUR_S),
            example=lambda: Postponed(user_id=None),
        ),
    ],
)
