"""What comes in from outside is bounded in one module, and whoever applies a bound there is fed with hostile text."""

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

import bridge
import bridge.model.bounds
from tests.support.growth import HOSTILE, hostile
from tests.support.inputs import INPUTS

ROOT = Path(str(bridge.__file__)).parent
BOUNDS = ROOT / "model/bounds.py"
SIZE_WORDS = re.compile("BYTES|CHARS|LENGTH|TEXT|VALUE|NAME|LINE|LEVELS")
"""A limit of this kind may be one of what comes in, in whatever room; at an entry, any limit may."""
ENTRIES = ("gateway", "ops", "messages")
SHOWN, OURS, HELD = "what is shown or kept of a text", "what we do or send at once", "how many we remember or serve"
ELSEWHERE = {
    "gateway.request.ECHO_LENGTH_MAX": SHOWN,
    "gateway.request.ECHO_MAX": SHOWN,
    "gateway.asgi.SHOWN_MAX": SHOWN,
    "gateway.asking.ASKING_MAX": HELD,
    "gateway.asking.THREADS_MAX": HELD,
    "gateway.authenticator.TIME_MAX_S": "the last moment that a clock can tell",
    "gateway.request.POSITION_LIMIT": "the last position that Redis can have",
    "gateway.session.EXPIRY_MAX_S": "the longest time that a timer is set to",
    "gateway.hub.COMMAND_CHANNELS_MAX": OURS,
    "local.child_process.LINE_MAX": SHOWN,
    "messages.bundling.BYTES_MAX": OURS,
    "messages.bundling.EVENTS_MAX": OURS,
    "model.pipeline.failure.MAX_MESSAGE_CHARS": SHOWN,
    "model.pipeline.failure.MAX_TRACEBACK_CHARS": SHOWN,
    "model.pipeline.failure.COMPARED_CHARS_MAX": SHOWN,
    "model.plain_text.ARGUMENT_CHARS_MAX": SHOWN,
    "model.plain_text.ECHO_CHARS_MAX": SHOWN,
    "model.plain_text.LINE_CHARS_MAX": SHOWN,
    "model.registry.metadata.MAX_WIRE_NAME_LENGTH": "a team's own names, judged when its registry is made",
    "model.registry.metadata.MAX_CLASS_NAME_LENGTH": "a team's own names, judged when its registry is made",
    "ops.page_state.RUNNING_MAX": HELD,
    "ops.page_state.TROUBLES_MAX": HELD,
    "ops.page_state.RATES_MAX": HELD,
    "ops.redriving.DRY_RUN_MAX": OURS,
    "ops.stream.SESSION_STREAMS_MAX": HELD,
    "ops.stream.STREAMS_MAX": HELD,
    "ops.stream.VIEWER_STREAMS_MAX": HELD,
    "ops.sessions.ADDRESSES_MAX": HELD,
    "testing.emitted.SHOWN_CHARS_MAX": SHOWN,
    "ops.sessions.KNOWN_MAX": HELD,
    "model.pipeline.unwritable.LEVELS_SHOWN_MAX": SHOWN,
    "model.pipeline.unwritable.NAME_CHARS_MAX": SHOWN,
    "producer.unaccepted.CLASS_CHARS_MAX": SHOWN,
    "producer.outbox.trouble.CHARS_MAX": SHOWN,
    "producer.sender.TROUBLE_CHARS_MAX": SHOWN,
    "redis_adapter.task_queue.CALL_BYTES_MAX": OURS,
    "runtime.identity.RELEASE_CHARS_MAX": SHOWN,
    "settings.environment.NAME_CHARS_MAX": SHOWN,
    "celery_runtime.refusals.TEXT_MAX": SHOWN,
}
"""Limits that bound nothing that comes in, and what they do."""
NO_TEXT = {
    "celery_runtime.app": "hands the bounds on",
    "celery_runtime.consumer": "a number of RabbitMQ's",
    "celery_runtime.redis_channel": "hands the bounds on",
    "celery_runtime.task": "hands the bounds on",
    "contrib.django.sessions": "tests/integration/test_contrib_django_sessions.py",
    "gateway.authenticator": "what the application says of a principal",
    "gateway.protocol": "tests/integration/test_gateway_request_bounds.py",
    "gateway.replay_reader": "how much is read at once",
    "gateway.connection": "how much is handed to the server",
    "gateway.session": "how much is held for a client",
    "operations.redrive.sending": "how much is sent at once",
    "operations.disconnecting": "the application's own words",
    "producer.outbox.table": "tests/contract/test_outbox.py",
    "producer.spool_folder": "tests/integration/test_producer_spool.py",
    "producer.spool": "how much is written at once",
    "producer.spool_file": "tests/integration/test_producer_spool.py",
    "redis_adapter.tickets": "how many are issued",
    "redis_adapter.rights": "how many are remembered",
    "rights": "the application's own words",
    "testing.event_log": "how much is read at once",
    "testing.rights": "how many are remembered",
    "worker.mover": "how much is sent at once",
}
"""Modules that apply bounds to something else than text that is handed to them, or where that is tried."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path != BOUNDS:
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text())


def _limits() -> Iterator[str]:
    for module, tree in _modules():
        for node in tree.body:
            target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
            name = target.id if isinstance(target, ast.Name) else ""
            if re.search("MAX|LIMIT", name) and (SIZE_WORDS.search(name) or module.partition(".")[0] in ENTRIES):
                yield f"{module}.{name}"


def _that_apply_bounds() -> set[str]:
    return {
        module
        for module, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "bridge.model.bounds"
    }


def test_what_comes_in_is_bounded_by_the_module_of_bounds_alone() -> None:
    assert set(_limits()) == set(ELSEWHERE)


def test_every_bound_is_applied() -> None:
    named = re.findall(r"^([A-Z_]+)(?:: \w+)? = ", BOUNDS.read_text(), re.MULTILINE)
    imports = [node for _, tree in _modules() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    used = {alias.name for node in imports for alias in node.names}
    inside = BOUNDS.read_text()
    assert [name for name in named if name not in used and len(re.findall(rf"\b{name}\b", inside)) < 2] == []


def test_every_module_that_applies_a_bound_is_fed() -> None:
    entered = {frame.removeprefix("bridge.") for frame in _entered()}
    assert _that_apply_bounds() - entered == set(NO_TEXT)


@pytest.mark.parametrize("place", sorted({place for place in NO_TEXT.values() if place.startswith("tests/")}))
def test_a_place_where_else_it_is_tried_exists(place: str) -> None:
    assert (ROOT.parent / place).exists()


def _entered() -> set[str]:
    """The modules that text runs through, whichever entry it takes."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_globals.get("__name__", ""))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for enter in INPUTS.values():
            for piece in ("letters", "an object"):
                with suppress(Exception):
                    enter(hostile(HOSTILE[piece])(100))
    finally:
        sys.setprofile(before)
    return entered
