"""docs/incident.md: the story is true; its commands are run from top to bottom on a real server with a real worker.

``INCIDENT_REFRESH=1`` writes what was seen into the page and its pictures, instead of comparing.
"""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import redis
from kombu import Connection

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.operations.retries import Retries
from bridge.operations.selection import Selection
from bridge.ops import create_ops_app
from bridge.redis_adapter.accounting import read_balance
from bridge.wiring import store_of
from tests.support import billing
from tests.support.ops import AppClient
from tests.support.story import Block, Names, Prose, Step, draw, parts_of, steady, words_of, written
from tests.support.terminal import plain, run_in_terminal, screen
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, clean_environment, running_worker

PAGE = ROOT / "docs" / "incident.md"
REFRESH = bool(os.environ.get("INCIDENT_REFRESH"))
COMPANIES, PEOPLE, GUESTS, USERS = 60, 174, 6, 40
PAYMENTS, PARCELS = 5, 9
ALIEN_TASK = "reports.nightly"
PAUSED = "is paused"
UNHEALTHY = "✗ "
HOST = "h1"
HALFWAY = r"\b(?:[6-9]\d|1\d\d) succeeded"
"""When the person of the story presses Ctrl-C: after the canary."""


class Stage:
    """A server, a worker with the faulty release, the ops page, and a terminal for the person on call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._code = folder / "app" / "billing.py"
        self._code.parent.mkdir()
        shutil.copy(Path(billing.__file__), self._code)
        self._end = ExitStack()
        self._releases = 0

    def __enter__(self) -> "Stage":
        self.server = self._end.enter_context(EmbeddedServer())
        self.client = self._end.enter_context(redis.Redis.from_url(self.server.url))
        self.settings = Settings(broker_url=self.server.url)
        bin_ = self._folder / "bin"
        bin_.mkdir()
        (bin_ / "sse-bridge").write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge.cli "$@"\n')
        (bin_ / "sse-bridge").chmod(0o755)
        self._environment = {
            **{name: value for name, value in clean_environment().items() if name not in ("NO_COLOR", "COLUMNS")},
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{self._code.parent}",
            "LOGNAME": "ann",
            "BRIDGE_BROKER_URL": self.server.url,
            "BRIDGE_REGISTRY": "billing:registry",
        }
        self._start_worker()
        return self

    def __exit__(self, *failure: object) -> None:
        self._end.close()

    def _start_worker(self) -> None:
        self._releases += 1
        self._worker = self._end.enter_context(ExitStack())
        self._worker.enter_context(
            running_worker(self._folder, self._environment, "-n", "billing@shop-1", name=f"worker-{self._releases}")
        )

    def deploy(self, diff: str) -> None:
        """Change the code as a diff says, and restart the worker."""
        old = "\n".join(line[1:] for line in diff.splitlines() if line[:1] in "- ")
        new = "\n".join(line[1:] for line in diff.splitlines() if line[:1] in "+ ")
        code = self._code.read_text()
        assert code.count(old) == 1
        self._code.write_text(code.replace(old, new))
        self._worker.close()
        self._start_worker()

    def go_wrong(self) -> None:
        """A morning's events, of which the release cannot handle many."""
        emitter = Emitter(self.settings, billing.registry)
        person = {"name": "Bo"}
        buyers = [billing.ACME] * COMPANIES + [person] * PEOPLE + [{}] * GUESTS
        invoices = [
            billing.InvoiceIssued(user_id=a_user(number), number=number, buyer=buyer)
            for number, buyer in enumerate(buyers)
        ]
        payments = [billing.PaymentReceived(user_id=a_user(n), number=n, buyer=person) for n in range(PAYMENTS)]
        parcels = [billing.ParcelShipped(user_id=a_user(n), number=n, carrier="pigeon") for n in range(PARCELS)]
        assert emitter.emit_many([*invoices, *payments, *parcels])
        emitter.close()
        with Connection(self.server.url) as broker, broker.SimpleQueue("bridge.billing") as queue:
            queue.put([[], {}, {}], headers={"task": ALIEN_TASK, "id": str(UUID(int=7))})
        wait_until(lambda: read_balance(self.client).published == COMPANIES, what="companies are told")

    def settle(self) -> None:
        """Wait until nothing is on its way but retries that are not due."""
        wait_until(self._is_settled, what="the bridge is settled")

    def _is_settled(self) -> bool:
        now_ms = int(self.client.time()[0]) * 1000
        waiting = Retries(store_of(self.client, self.settings)).page(Selection(), limit=1000).retries
        due = any(retry.taken or retry.due_ms < now_ms + 60_000 for retry in waiting)
        return not due and read_balance(self.client).open == 0

    def scrape(self) -> str:
        """What Prometheus gets."""
        app = create_ops_app(self.settings, billing.registry)
        with app.state.closing:
            return AppClient(app).get("/metrics").text

    def run(self, step: Step, command: str) -> tuple[str, list[str], int]:
        """Run a command of the page; what the person sees, the same in colours (at its most telling), the exit code."""
        typed = [("\\[y/N\\]", "y\n")] if "[y/N]" in step.output else []
        typed += [(HALFWAY, "\x03")] if PAUSED in step.output else []
        session = run_in_terminal(command, environment=self._environment, folder=self._folder, typed=typed)
        lines = screen(self._elsewhere(session.text))
        telling = session.moments[-1] if PAUSED in step.output and session.moments else session.text
        shown = screen(self._elsewhere(telling))
        return plain(lines), [f"\x1b[1m$ {command}\x1b[0m", *shown], session.code

    def _elsewhere(self, text: str) -> str:
        """Names of this machine replaced by the story's."""
        host = socket.gethostname()
        text = text.replace(str(self._folder), "/srv").replace(str(ROOT), "/opt/bridge")

        def renamed(found: re.Match[str]) -> str:
            """Tables stay aligned."""
            blanks = len(found[2]) and max(1, len(found[2]) + len(host) - len(HOST))
            return f"{HOST}{found[1]}{' ' * blanks}"

        return re.sub(rf"\b{re.escape(host)}\b(\S*)( *)", renamed, text)


def a_user(number: int) -> UUID:
    return UUID(f"0190f0a1-0000-7000-8000-{number % USERS:012d}")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as made:
        made.go_wrong()
        yield made


@pytest.mark.slow
def test_the_story_is_true(stage: Stage) -> None:
    names, page, pictures = Names(), "", {}
    faults: list[str] = []
    for part in parts_of(PAGE.read_text()):
        match part:
            case Prose():
                page += names.translate(part.text)
            case Block():
                page += f"```{part.language}\n{act(stage, part)}```"
            case steps:
                seen = tuple(play(stage, step, names, pictures, faults) for step in steps)
                page += written(seen)
    if REFRESH:
        PAGE.write_text(page)
        (PAGE.parent / "pictures").mkdir(exist_ok=True)
        for path, svg in pictures.items():
            (PAGE.parent / path).write_text(svg)
        return
    faults += [path for path, svg in pictures.items() if words_of((PAGE.parent / path).read_text()) != words_of(svg)]
    assert not faults, "Not so any more; see this test's docstring:\n" + "\n".join(faults)


def act(stage: Stage, block: Block) -> str:
    """A block that is no command: the alert, numbers of /metrics, the repair. Returns it as it really is."""
    match block.language:
        case "yaml":
            rules = (ROOT / "deploy" / "prometheus-alerts.yml").read_text()
            assert re.sub(r"\s+", " ", block.text).strip() in re.sub(r"\s+", " ", rules)
        case "prometheus":
            stage.settle()
            scrape = dict(line.rsplit(" ", 1) for line in stage.scrape().splitlines() if not line.startswith("#"))
            names = [line.rsplit(" ", 1)[0] for line in block.text.splitlines()]
            now = "".join(f"{name} {scrape[name]}\n" for name in names)
            assert REFRESH or steady(now) == steady(block.text)
            return now
        case "diff":
            stage.deploy(block.text.rstrip("\n"))
    return block.text


def play(stage: Stage, step: Step, names: Names, pictures: dict[str, str], faults: list[str]) -> Step:
    """Run one command and compare; the step as it was this time."""
    stage.settle()
    command = names.translate(step.command)
    output, lines, code = stage.run(step, command)
    names.learn(step.output, output)
    if step.picture:
        pictures[step.picture] = draw(lines, "on call")
    expected = 130 if PAUSED in step.output else 1 if UNHEALTHY in step.output else 0
    if code != expected:
        faults.append(f"$ {command} ended with {code}")
    if steady(step.output) != steady(output):
        faults.append(f"$ {command}\n{output}\n--- but the page says\n{step.output}")
    return replace(step, command=command, output=output)
