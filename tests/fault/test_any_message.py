"""Whatever hypothesis thinks of as a message is handled, or quarantined with the very bytes that stood on the queue."""

import base64
import json
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import redis
from hypothesis import strategies as st

from bridge import Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, RetrySet, connect
from tests.fault.load import environment_for, settings_for
from tests.integration.test_worker_quarantine import QUEUE, envelope
from tests.support import keys
from tests.support.counts import Counts
from tests.support.items import COMPRESSIONS, body_of
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

ABSENT = object()
TASKS = ("bridge.Moody", "bridge.Announced", "bridge.Unheard", "celery.map", "celery.chord_unlock", "celery.accumulate")
NAMES = (
    *("lang", "task", "id", "root_id", "parent_id", "group", "group_index", "retries", "eta", "expires", "timelimit"),
    *(
        "argsrepr",
        "kwargsrepr",
        "origin",
        "shadow",
        "stamps",
        "stamped_headers",
        "ignore_result",
        "replaced_task_nesting",
    ),
    *("replaced_task_nesting", "bridge_attempt", "bridge_deliveries", "x-delivery-count", "compression"),
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "0", "2020-01-01T00:00:00+00:00", "9999-12-31T23:59:59", "\ud800", "null", str(uuid4())])
)
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)


def _changed(good: dict[str, Any], names: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The good object, with a few of its members replaced, removed or added."""
    changes = st.dictionaries(st.sampled_from([*good, *names]), values | st.just(ABSENT), max_size=3)
    return changes.map(
        lambda changed: {name: value for name, value in {**good, **changed}.items() if value is not ABSENT}
    )


_spoiled_envelope = st.builds(envelope).flatmap(lambda good: _changed(good, ("traceparent",), _json))
_envelopes = st.builds(envelope) | _spoiled_envelope | _json
_embed = st.just({}) | st.none() | _changed({}, ("callbacks", "errbacks", "chain", "chord"), _json)
_good_bodies = st.tuples(st.lists(st.lists(_envelopes, max_size=4), min_size=1, max_size=1), st.just({}), _embed)
_wild_bodies = st.tuples(_json, _json, _json) | _json
WRONG = ("nothing", "nothing", "body", "bytes", "compression", "headers", "task", "properties", "parts", "all")
COMPRESSED = (*COMPRESSIONS, "", "nonsense")
_same_twice = st.sampled_from(COMPRESSED).map(lambda name: (name, name))
GOOD_PROPERTIES = {
    "correlation_id": "x",
    "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": QUEUE},
    "priority": 0,
    "body_encoding": "base64",
    "delivery_tag": "x",
}


def _good_headers(task: str) -> dict[str, Any]:
    return {"lang": "py", "task": task, "id": str(uuid4()), "timelimit": [None, None]}


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A queue item: a message with something wrong in one place, often with nothing wrong, now and then no message."""
    wrong = draw(st.sampled_from(WRONG))
    if wrong == "all":
        return draw(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
    body = json.dumps(draw(_wild_bodies if wrong == "body" else _good_bodies)).encode()
    headers: Any = _good_headers("bridge.Moody")
    properties: Any = GOOD_PROPERTIES
    if wrong == "bytes":
        body = draw(st.binary())
    elif wrong == "compression":
        told, done = draw(st.tuples(st.sampled_from(COMPRESSED), st.sampled_from(COMPRESSED)) | _same_twice)
        headers["compression"] = draw(_json) if told == "nonsense" else told
        body = COMPRESSIONS[done][0](body) if done in COMPRESSIONS else body
    elif wrong == "headers":
        headers = draw(_changed(headers, NAMES, _json) | _json)
    elif wrong == "task":
        headers = _good_headers(draw(st.sampled_from(TASKS)))
    elif wrong == "properties":
        properties = draw(_changed(properties, ("reply_to", "expiration", "type", "headers"), _json) | _json)
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    if wrong == "parts":
        message = draw(_changed(message, ("redelivered",), _json))
    return json.dumps(message).encode()


def test_any_message_is_handled_or_kept_with_its_bytes(tmp_path: Path, scale: float, dice: random.Random) -> None:
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        client = connect(settings)
        fates = {"handled": 0, "quarantined": 0}
        with running_worker(tmp_path, environment_for(settings, tmp_path)) as worker:
            pids = [worker.process.pid, *worker.children()]

            @hypothesis.seed(dice.randrange(2**32))
            @hypothesis.settings(
                max_examples=int(200 * scale),
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(_messages())
            def property_(raw: bytes) -> None:
                fates[_fate(client, settings, raw)] += 1
                assert worker.process.poll() is None
                assert [worker.process.pid, *worker.children()] == pids, "a process was replaced"

            property_()
        print(f"messages: {fates}")
        assert min(fates.values()) > 10 * scale
        client.close()


def _fate(client: redis.Redis, settings: Settings, raw: bytes) -> str:
    """Put one message on the queue, and see what becomes of it."""
    client.delete(keys.COUNTS, keys.DEAD_INDEX, keys.DEAD_LETTERS, keys.RETRY_DUE, keys.RETRY_RECORDS)
    client.lpush(QUEUE, raw)
    wait_until(lambda: not client.exists(QUEUE, "unacked", "unacked_index"), what=f"{raw!r} is done")
    letters = list(every_letter(DeadLetters(client, settings)))
    if any(letter.failure.stage == "message" for letter in letters):
        assert [letter.raw for letter in letters] == [raw]
        assert letters[0].failure.message
        return "quarantined"
    counts = Counts(client).read()
    settled = counts["published"] + counts["duplicate"] + counts["skipped"] + len(letters)
    settled += RetrySet(client, settings).count()
    envelopes = _envelopes_of(raw)
    assert settled <= len(envelopes)
    assert settled == len(envelopes) or settled >= len({_name(envelope) for envelope in envelopes}), "some are nowhere"
    return "handled"


def _envelopes_of(raw: bytes) -> list[Any]:
    """What a message that is no nonsense carries; anything but one list of envelopes counts as one."""
    args, kwargs, _ = json.loads(body_of(raw))
    return args[0] if len(args) == 1 and isinstance(args[0], list) and not kwargs else [args]


def _name(envelope: Any) -> str:
    """By which a dead letter may be known: two envelopes of one name are one letter."""
    return str(envelope.get("id")) if isinstance(envelope, dict) else json.dumps(envelope)
