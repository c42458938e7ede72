"""``DeadLetter``: what is kept of an event that did not succeed by itself, and how it is read again; pure."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec.structs import force_setattr

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.pipeline import Failure, Stage
from bridge.model.pipeline.failure import Cause, cause_of
from bridge.model.registry.addresses import named_in
from bridge.model.retry import Attempt

LOOK_MAX = 1000
"""Letters that one script call looks at: each costs Redis about 2 µs."""
UNREADABLE = "unreadable"
"""The group of letters that this release cannot read."""
UNREADABLE_CAUSE = Cause(
    stage="", error_class="", place="", message="this letter cannot be read: damaged, or of another release"
)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that needs a person."""

    letter_id: str  # the event's id, or one derived from its bytes when it has none
    task: str  # the Celery task that gave up
    queue: str  # where that task's messages go
    envelope: str  # what came in; JSON
    failure: Failure  # the final cause
    attempts: tuple[Attempt, ...]  # every failed try, oldest first, the final one included
    buried_at: str  # RFC 3339, UTC, by Redis' clock
    worker: str  # which worker gave up
    release: str  # version of the bridge that gave up
    # The bytes that stood on the queue, where they were no message that Celery can run; then ``envelope`` is empty
    raw: bytes = b""
    cut_from: str = ""  # size and digest of what ``raw`` is only the beginning of; empty if it is all
    replay: str = ""  # the redrive in which it died again; empty if it was never redriven since it was first buried
    group: str = ""  # id of its root cause; made from the failure
    # Addresses of the event, as texts, as the mapping says; where that cannot be told, of its ``data.user_id``
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.group:
            force_setattr(self, "group", cause_of(self.failure).group)
        if not self.addresses:
            force_setattr(self, "addresses", named_in(self.envelope))


class LetterHead(msgspec.Struct, kw_only=True, gc=False):
    """What a search needs to know of a letter; read without the rest."""

    letter_id: str
    group: str = ""  # id of its root cause
    addresses: tuple[str, ...] = ()  # of its event, as texts
    task: str = ""
    queue: str = ""
    stage: str = ""
    error_class: str = ""
    replay: str = ""
    buried_ms: int = 0  # when it was dead-lettered, in ms of Redis time; that is in the index


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A place in the order of burial, which stays where it is while letters come and go."""

    at_ms: float
    letter_id: str

    def __str__(self) -> str:
        return f"{self.at_ms:.1f}:{self.letter_id}".replace(".0:", ":")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads ``str(cursor)``.

        Raises:
            ValueError: it is invalid.
        """
        place, _, letter_id = text.partition(":")
        at_ms = float(place)
        if not math.isfinite(at_ms):
            raise ValueError(f"{place} is no time")
        return cls(at_ms=at_ms, letter_id=letter_id)


class Found(NamedTuple):
    """A letter that was met in the order of burial, with its place there."""

    letter_id: str
    buried_ms: int
    letter: DeadLetter


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """Letters found by one look.

    ``more``: there is something behind the cursor.
    """

    found: tuple[Found, ...]
    cursor: Cursor | None
    more: bool


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a discarded letter; empty words where it does not say."""

    letter_id: str
    at: str
    who: str
    reason: str
    task: str
    error_class: str


_letters = msgspec.json.Decoder(DeadLetter)


def read_letter(value: bytes | str) -> DeadLetter | None:
    """The letter; None if it was damaged, or written by a release that this one does not understand."""
    try:
        return _letters.decode(value)
    except PARSER_ERRORS:
        return None


def head_of(letter: DeadLetter) -> LetterHead:
    """What a search looks at."""
    return LetterHead(
        letter_id=letter.letter_id,
        group=letter.group,
        addresses=letter.addresses,
        task=letter.task,
        queue=letter.queue,
        stage=letter.failure.stage.value,
        error_class=letter.failure.error_class,
        replay=letter.replay,
    )


_heads = msgspec.json.Decoder(LetterHead)


def read_head(letter_id: str, at_ms: int, head: bytes) -> LetterHead:
    """What a search looks at; of a letter whose head cannot be read, that it is one."""
    try:
        known = _heads.decode(head)
        known.buried_ms = at_ms
    except PARSER_ERRORS:
        return LetterHead(letter_id=letter_id, group=UNREADABLE, buried_ms=at_ms)
    return known


def read_tombstone(letter_id: str, value: bytes, at: str) -> Tombstone:
    """Who discarded a letter and why; empty words where it does not say."""
    try:
        fields = msgspec.json.decode(value)
    except PARSER_ERRORS:
        fields = {}
    fields = fields if isinstance(fields, dict) else {}
    words = {name: str(fields.get(name) or "") for name in ("who", "reason", "task", "error_class")}
    return Tombstone(letter_id=letter_id, at=at, **words)


def unreadable(letter_id: str, value: bytes) -> DeadLetter:
    """Stands for a letter that this release cannot read, and shows its bytes."""
    return DeadLetter(
        letter_id=letter_id,
        group=UNREADABLE,
        task="",
        queue="",
        envelope="",
        failure=Failure(stage=Stage.MESSAGE, error_class="", message=UNREADABLE_CAUSE.message),
        attempts=(),
        buried_at="1970-01-01T00:00:00Z",
        worker="",
        release="",
        raw=value,
    )
