"""Envelopes on their way from a worker's main process to its pool: what is passed on, and what stays as it came."""

import json
from types import SimpleNamespace
from typing import Any

import kombu.utils.json
import pytest
from kombu import serialization

from bridge.celery_runtime.kombu_messages import PASSED_SERIALIZER
from bridge.messages import TaskMessage
from bridge.messages.bundling import PASSED_CONTENT_TYPE, Envelopes, on_the_wire, pass_on

BODY = TaskMessage(task="bridge.Moody", queue="q", envelopes=[b'{"a": 1}', b'"\xc3\xa9"']).body()


def a_message(body: object = BODY, content_type: str = "application/json", content_encoding: str = "utf-8") -> Any:
    return SimpleNamespace(body=body, content_type=content_type, content_encoding=content_encoding)


def decoded(message: Any) -> Any:
    return serialization.loads(
        message.body, message.content_type, message.content_encoding, accept={PASSED_CONTENT_TYPE}
    )


def test_envelopes_are_passed_on_byte_for_byte_and_split_where_they_are_run() -> None:
    message = a_message()
    pass_on(message)
    args, kwargs, embed = decoded(message)
    assert [bytes(raw) for raw in args[0].split()] == [b'{"a": 1}', b'"\xc3\xa9"']
    assert (kwargs, embed) == ({}, {})


def test_what_came_can_be_told_afterwards() -> None:
    message = a_message()
    pass_on(message)
    assert on_the_wire(message) == (BODY, "application/json", "utf-8")
    assert on_the_wire(a_message(b"x", "text/plain", "us-ascii")) == (b"x", "text/plain", "us-ascii")


@pytest.mark.parametrize(
    "message",
    [
        a_message(content_type="application/x-yaml"),
        a_message(content_encoding="latin-1"),
        a_message(json.dumps([[[{"a": 1}]], {}, {}]).encode()),
        a_message(BODY.decode()),
        a_message(BODY.replace(b"[[[", b"[[[]")),
        a_message(BODY.replace(b"1", b"\xff")),
        a_message(BODY.replace(b"1", b"[" * 5_000)),
        a_message(TaskMessage(task="t", queue="q", envelopes=[]).body()),
        a_message(TaskMessage(task="t", queue="q", envelopes=[b" "]).body()),
        a_message(TaskMessage(task="t", queue="q", envelopes=[b"[" * 450 + b"]" * 450]).body()),
        a_message(None),
    ],
    ids=[
        "type",
        "encoding",
        "foreign",
        "text",
        "unbalanced",
        "no UTF-8",
        "too deep",
        "empty",
        "blank",
        "deep",
        "nothing",
    ],
)
def test_anything_else_stays_as_it_came(message: Any) -> None:
    before = dict(vars(message))
    pass_on(message)
    assert vars(message) == before


def test_nothing_is_ever_written_under_that_content_type() -> None:
    with pytest.raises(Exception, match="within a worker only"):
        serialization.dumps([Envelopes(b"")], serializer=PASSED_SERIALIZER)


def test_a_log_and_celerys_remote_control_show_no_payload() -> None:
    envelopes = Envelopes(b'{"a": "secret"}')
    assert repr(envelopes) == "<15 bytes of envelopes>"
    assert kombu.utils.json.dumps({"args": [envelopes]}) == '{"args": ["<15 bytes of envelopes>"]}'
