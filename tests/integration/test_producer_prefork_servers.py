"""Servers that load the application in their master and fork their workers from it: each delivers all it accepts."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from bridge.local.redis_server import free_port
from tests.support.needs import needs_package
from tests.support.preforking_app import EVENTS, PER_PROCESS, PER_SERVER
from tests.support.producers import numbers
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, clean_environment

DELAYS_S = {"some": (0.0, 0.1), "all": (0.0, 0.05, 0.1, 0.15, 0.2)}
"""From the master's first event to its forks; a server of its own for each."""
WORKERS = {"some": 4, "all": 8}
"""Of each server."""
REQUESTS = 20
MODULE = "tests.support.preforking_app"
SERVERS = {
    "gunicorn": [
        sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--bind", "127.0.0.1:{port}",
        "--workers", "{workers}", "--config", f"python:{MODULE}", f"{MODULE}:app",
    ],
    "uwsgi": [
        str(Path(sys.executable).with_name("uwsgi")), "--http-socket", "127.0.0.1:{port}", "--master", "--die-on-term",
        "--processes", "{workers}", "--enable-threads", "--py-call-uwsgi-fork-hooks",
        "--need-app", "--pythonpath", str(ROOT), "--module", f"{MODULE}:app",
    ],
}  # fmt: skip


@contextmanager
def server(command: list[str], workers: int, environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a server; ended in order."""
    port = free_port()
    filled = [word.replace("{port}", str(port)).replace("{workers}", str(workers)) for word in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            filled,
            cwd=ROOT,
            env={**clean_environment(), **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(PROCESS_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def accepted(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def begun(log: Path) -> int:
    """How many workers have accepted all that they emit first."""
    places = Counter(number // PER_PROCESS for number in accepted(log) if number % PER_SERVER >= PER_PROCESS)
    return sum(count >= EVENTS for count in places.values())


@pytest.mark.parametrize(
    ("kind", "spool", "many"),
    [
        *((kind, place % 2 == 0, "some") for place, kind in enumerate(SERVERS)),
        *(pytest.param(kind, spool, "all", marks=pytest.mark.slow) for kind in SERVERS for spool in (False, True)),
    ],
    ids=lambda value: {False: "memory", True: "spool"}[value] if isinstance(value, bool) else None,
)
def test_every_process_of_a_preforking_server_delivers_all_that_it_accepts(
    redis_url, redis_client, tmp_path: Path, kind: str, spool: bool, many: str
) -> None:
    needs_package("gunicorn" if kind == "gunicorn" else "pyuwsgi")
    log, delays_s, workers = tmp_path / "accepted", DELAYS_S[many], WORKERS[many]
    # A worker that ends may have just emitted, and needs longer than 5 s for that on a busy machine.
    common = {"BRIDGE_BROKER_URL": redis_url, "PREFORK_LOG": str(log), "BRIDGE_EMIT_EXIT_FLUSH_S": "60"}
    if spool:
        common["BRIDGE_SPOOL_DIR"] = str(tmp_path / "spool")
    with ExitStack() as stack:
        addresses = []
        for place, delay_s in enumerate(delays_s):
            own = {"PREFORK_BASE": str(place * PER_SERVER), "PREFORK_DELAY_S": str(delay_s)}
            addresses.append(
                stack.enter_context(server(SERVERS[kind], workers, {**common, **own}, tmp_path / f"server-{place}.log"))
            )
        wait_until(lambda: begun(log) == workers * len(delays_s), what="every worker has emitted")
        for address in addresses:
            for _ in range(REQUESTS):
                assert httpx.get(address, timeout=PROCESS_TIMEOUT_S).status_code == 204
    wanted = accepted(log)
    assert len(set(wanted)) == len(wanted) >= len(delays_s) * (workers * EVENTS + REQUESTS)
    assert Counter(numbers(redis_client)) == Counter(wanted)
    assert "Traceback" not in "".join(path.read_text() for path in tmp_path.glob("server-*.log"))
