"""Dead letters made by hand, whose events the moody catalog knows; entered into the books as if they were accepted."""

import json
from collections.abc import Sequence
from uuid import UUID, uuid4

import redis
import uuid6

from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import Failure, Stage
from bridge.model.retry import Attempt
from bridge.redis_adapter import DeadLetters
from bridge.settings import Settings
from tests.support import keys

TASK, QUEUE = "bridge.Moody", "bridge.moods"
TRACEBACK = '  File "/srv/app/moods.py", line {line}, in extract\n    return look_up(event)\n'


def a_failure(message: str = "no such mood: 7", *, error_class: str = "LookupError", place: int = 1) -> Failure:
    return Failure(
        stage=Stage.EXTRACT,
        error_class=error_class,
        message=message,
        traceback=f'  File "/srv/app/moods.py", line {place}, in extract_{place}\n    return look_up(event)\n',
    )


def a_letter(
    *,
    mode: str = "ok",
    user_id: UUID | None = None,
    failure: Failure | None = None,
    time: str = "2026-01-01T00:00:00Z",
    number: int = 0,
    times: int = 0,
    task: str = TASK,
    raw: bytes = b"",
    letter_id: str = "",
) -> DeadLetter:
    """A letter whose event behaves as ``mode`` says when it is replayed."""
    event_id = letter_id or str(uuid6.uuid7())
    data = {"user_id": str(user_id or uuid4()), "mode": mode, "number": number, "times": times}
    envelope = {"specversion": "1.0", "id": event_id, "source": "t", "type": "Moody", "time": time, "data": data}
    failure = failure or a_failure()
    return DeadLetter(
        letter_id=event_id,
        task=task,
        queue=QUEUE,
        envelope="" if raw else json.dumps(envelope),
        failure=failure,
        attempts=(Attempt(number=1, at=time, failure=failure),),
        buried_at=time,
        worker="one",
        release="0.1.0",
        raw=raw,
    )


def bury(client: redis.Redis, settings: Settings, letters: Sequence[DeadLetter]) -> None:
    """Bury letters; the books say that a producer announced them."""
    dead = DeadLetters(client, settings)
    for start in range(0, len(letters), 500):
        dead.bury(letters[start : start + 500])
    client.hincrby(keys.COUNTS, "accepted", len(letters))
    client.hincrby(keys.COUNTS, "stray", -len(letters))
    client.delete(keys.STRAYS)


def held_bytes(client: redis.Redis) -> int:
    """Bytes of the letters that there are; what the tally says of them is the same."""
    with client.pipeline(transaction=True) as pipeline:  # a worker may still be burying some
        pipeline.hvals(keys.DEAD_LETTERS)
        pipeline.hget(keys.COUNTS, "dead_bytes")
        letters, tally = pipeline.execute()
    there = sum(map(len, letters))
    assert int(tally or 0) == there
    return there
