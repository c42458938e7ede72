"""A bridge worker that kills itself, pool included, at the place that DIE_AT names; for tests of exact moments."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.catalogs import load_configured
from bridge.celery_runtime import task
from bridge.celery_runtime.redis_channel import ClaimingChannel
from bridge.celery_runtime.redis_claims import ClaimingQoS
from bridge.model.pipeline import Pipeline
from bridge.redis_adapter import DeadLetters, PendingPublish, RetrySet
from bridge.settings import WorkerSettings
from bridge.worker import create_app
from bridge.worker.handler import Handler
from bridge.worker.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Place:
    """A method, and whether its worker dies before or after it.

    Attributes:
        owner: class of the method.
        method: its name.
        after: whether what the method does is done by then.
        when: looks at the method's arguments, or at its answer; dies only if that is truthy.
    """

    owner: type[Any]
    method: str
    after: bool
    when: Callable[..., object] = lambda *_, **__: True


def _has_claimed(channel: ClaimingChannel, **_: object) -> bool:
    """Whether the claim, whose answer has arrived but is not read, took something."""
    return bool(channel._records.hlen(channel.unacked_key))


NOT_BEGUN = "batch not begun"
TAKEN_APART = "message taken apart, not acknowledged"
PLACES = {
    "claimed, answer unread": Place(ClaimingChannel, "_brpop_read", after=False, when=_has_claimed),
    "claimed, nothing delivered": Place(ClaimingChannel, "_deliver_bundle", after=False),
    "delivered to Celery": Place(ClaimingChannel, "_deliver_bundle", after=True),
    "restored from the dead": Place(ClaimingChannel, "_put_back", after=True),
    NOT_BEGUN: Place(Handler, "run", after=False, when=lambda _, jobs: any(len(job.envelopes) > 1 for job in jobs)),
    "in the extractor": Place(Pipeline, "run", after=False),
    "before settling": Place(PendingPublish, "begin", after=False),
    "settling": Place(PendingPublish, "begin", after=True),
    "settled": Place(PendingPublish, "unpublished", after=True),
    "before the retry is written down": Place(RetrySet, "add", after=False, when=lambda _, added, **__: added),
    "retry written down": Place(RetrySet, "add", after=True),
    "retry claimed by the mover": Place(RetrySet, "claim", after=True, when=lambda claim: claim.records),
    "retry sent, not confirmed": Place(RetrySet, "confirm", after=False),
    "before the dead letter": Place(DeadLetters, "bury", after=False),
    "dead letter written": Place(DeadLetters, "bury", after=True, when=lambda _: True),
    "quarantined, not acknowledged": Place(Quarantine, "__call__", after=True),
    "all settled, Celery not told": Place(Handler, "run", after=True),
    "Celery told, not acknowledged": Place(ClaimingQoS, "ack", after=False),
    "acknowledged in memory": Place(ClaimingQoS, "ack", after=True),
    "before the broker forgets": Place(ClaimingChannel, "forget", after=False),
    "forgotten by the broker": Place(ClaimingChannel, "forget", after=True),
    TAKEN_APART: Place(Handler, "split", after=True),
}


def _die() -> None:
    """Kill the whole worker: it was started as a process group of its own."""
    os.killpg(0, signal.SIGKILL)


def _set_trap(place: Place) -> None:
    method = getattr(place.owner, place.method)

    def trapped(*args: Any, **kwargs: Any) -> Any:
        if not place.after and place.when(*args, **kwargs):
            _die()
        answer = method(*args, **kwargs)
        if place.after and place.when(answer):
            _die()
        return answer

    setattr(place.owner, place.method, trapped)


if os.environ.get("DIE_AT"):
    _set_trap(PLACES[os.environ["DIE_AT"]])
    if os.environ["DIE_AT"] == TAKEN_APART:
        # At once, instead of after some more deaths.
        task.SPLIT_AFTER = 0

app = create_app(*load_configured(WorkerSettings))
