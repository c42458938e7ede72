"""What a result was measured on: the machine, and the versions of everything that took part."""

import json
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bridge.local.redis_server import find_server

PACKAGES = (
    "sse-bridge",
    "celery",
    "kombu",
    "redis",
    "hiredis",
    "msgspec",
    "uuid6",
    "faststream",
    "taskiq",
    "taskiq-redis",
    "dramatiq",
    "uvloop",
    "uvicorn",
    "starlette",
)


@cache
def describe_machine() -> dict[str, Any]:
    """Machine and versions, without anything that names it or its owner."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": _first_line([str(find_server()), "--version"]),
        "rabbitmq": rabbitmq_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
    }


def load_average() -> float:
    """What else the machine was doing: the load over the last minute."""
    return round(os.getloadavg()[0], 2)


def package_version(name: str, python: str | None = None) -> str | None:
    """The version of a package, here or in another environment; None if it is missing."""
    if python:
        code = f"import json; from importlib.metadata import version; print(json.dumps(version({name!r})))"
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=30)
        return str(json.loads(answer.stdout)) if answer.returncode == 0 else None
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def rabbitmq_version() -> str | None:
    """The version of the installed RabbitMQ, by its folder; None if it is not installed."""
    for folder in Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"):
        return folder.name.removeprefix("rabbitmq_server-")
    return "unknown" if shutil.which("rabbitmq-server") else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _first_line(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return " ".join(answer.stdout.split()[:3])
