"""What importing costs a producer process, and what it brings in that a producer does not need."""

import json
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.harness.processes import environment
from benchmarks.harness.questions import Options, Result, parse, rounds

STATEMENTS = {
    "bridge": "import bridge",
    "needs": "import celery, redis, msgspec, uuid6",
    "celery": "from celery import Celery",
    "faststream": "from faststream.redis import RedisBroker",
    "taskiq": "from taskiq_redis import RedisStreamBroker",
    "dramatiq": "import dramatiq; from dramatiq.brokers.redis import RedisBroker",
}
MODULES = {"faststream": "faststream", "taskiq": "taskiq_redis", "dramatiq": "dramatiq"}
UNWANTED = ("starlette", "uvicorn", "rich", "click", "celery", "bridge.worker", "bridge.gateway", "bridge.cli")

_PROGRAM = """
import json, sys, time
started = time.perf_counter()
{statement}
took = time.perf_counter() - started
print(json.dumps({{"took": took, "modules": sorted(sys.modules)}}))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``imports.json``."""
    options = parse(__doc__ or "", arguments)
    run(options).write()


def run(options: Options) -> Result:
    """Each import in processes of its own, in turn."""
    result = Result("imports", "How long an import takes", options)
    names = []
    for name in STATEMENTS:
        answer = _import(name, check=False)
        if answer is None:
            result.missing[name] = f"{MODULES.get(name, name)} is not installed"
        else:
            names.append(name)
            if name == "bridge":
                result.facts["unwanted"] = [module for module in UNWANTED if module in answer[1]]

    def one(name: str) -> dict[str, float]:
        answer = _import(name, check=True)
        assert answer is not None
        return {"ms": answer[0] * 1e3, "modules": len(answer[1])}

    rows = rounds(names, options.runs * 4, one, str)
    for name, row in zip(names, rows, strict=True):
        result.rows.append({"peer": name, "statement": STATEMENTS[name], **row})
    return result


def _import(name: str, *, check: bool) -> tuple[float, list[str]] | None:
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement=STATEMENTS[name])],
        env=environment({}),
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )
    if answer.returncode:
        return None
    found = json.loads(answer.stdout)
    return found["took"], found["modules"]


if __name__ == "__main__":
    main()
