"""Real proxies with the configurations that ship, on random ports and in folders of their own."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from bridge.local.redis_server import free_port
from tests.support.needs import needs_program
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT

SHIPPED = ROOT / "deploy" / "proxy"
REQUEST_S = 2
"""How long a request may take to become whole; the shipped 10 s would make tests long."""


@contextmanager
def running_proxy(name: str, folder: Path, gateway_port: int) -> Iterator[str]:
    """The address of ``nginx``, ``haproxy`` or ``caddy`` before a gateway."""
    port = free_port()
    argv, environment = _STARTS[name](folder, port, gateway_port)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url) or process.poll() is not None, what=f"{name} answers")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(PROCESS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        httpx.get(url + "/health/ready", timeout=2)
    except httpx.HTTPError:
        return False
    return True


def _adapted(name: str, folder: Path, port: int, gateway_port: int, changes: Mapping[str, str]) -> Path:
    """The shipped file with other ports and a shorter patience; each change must find its place."""
    text = (SHIPPED / name).read_text()
    for old, new in {"127.0.0.1:8000": f"127.0.0.1:{gateway_port}", **changes}.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    adapted = folder / name
    adapted.write_text(text)
    return adapted


_Start = tuple[list[str], dict[str, str]]


def _nginx(folder: Path, port: int, gateway_port: int) -> _Start:
    program = needs_program("nginx")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {kind}_temp_path {folder / kind};\n" for kind in kinds)
    changes = {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "client_header_timeout 10s;": f"client_header_timeout {REQUEST_S}s;",
        "http {\n": f"http {{\n    access_log off;\n{paths}",
        "worker_processes auto;": "worker_processes 1;",
    }
    file = _adapted("nginx.conf", folder, port, gateway_port, changes)
    user = "user root; " if os.geteuid() == 0 else ""
    orders = f"{user}daemon off; pid {folder / 'nginx.pid'}; error_log stderr warn;"
    return [program, "-p", str(folder), "-c", str(file), "-e", "stderr", "-g", orders], {}


def _haproxy(folder: Path, port: int, gateway_port: int) -> _Start:
    program = needs_program("haproxy")
    changes = {
        "bind :8080": f"bind 127.0.0.1:{port}",
        "maxconn 20000": "maxconn 500",
        "timeout http-request 10s": f"timeout http-request {REQUEST_S}s",
    }
    return [program, "-db", "-f", str(_adapted("haproxy.cfg", folder, port, gateway_port, changes))], {}


def _caddy(folder: Path, port: int, gateway_port: int) -> _Start:
    program = needs_program("caddy")
    changes = {":8080 {": f"http://127.0.0.1:{port} {{", "read_header 10s": f"read_header {REQUEST_S}s"}
    file = _adapted("Caddyfile", folder, port, gateway_port, changes)
    places = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return [program, "run", "--config", str(file), "--adapter", "caddyfile"], places


_STARTS: dict[str, Callable[[Path, int, int], _Start]] = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}
PROXIES = tuple(_STARTS)
