"""What `import bridge` brings into a producer's process: what emitting needs, and nothing else."""

import ast
import compileall
import inspect
import pkgutil
import shutil
import subprocess
import sys

import pytest

import bridge
import bridge.catalogs.finance
import bridge.gateway
import bridge.model.events
import bridge.model.pipeline
import bridge.ops
import bridge.producer
import bridge.redis_adapter
import bridge.worker
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT

FOREIGN = {"celery", "kombu", "starlette", "uvicorn", "jwt", "click", "rich", "sqlite3", "prometheus_client", "jinja2"}
OURS = {
    "bridge.worker",
    "bridge.gateway",
    "bridge.ops",
    "bridge.cli",
    "bridge.operations",
    "bridge.local",
    "bridge.celery_runtime",
    "bridge.amqp_adapter",
    "bridge.catalogs.finance.catalog",
    "bridge.model.registry.faults",
    "bridge.redis_adapter.failed_events",
    "bridge.model.pipeline.pipeline",
}

ON_DEMAND = [
    bridge,
    bridge.catalogs.finance,
    bridge.gateway,
    bridge.model.events,
    bridge.model.pipeline,
    bridge.ops,
    bridge.producer,
    bridge.redis_adapter,
    bridge.worker,
]


def test_importing_the_front_door_loads_nothing_that_emitting_does_not_need() -> None:
    program = "import sys, bridge; bridge.emit, bridge.Emitter, bridge.configure; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PROCESS_TIMEOUT_S
    )
    assert (FOREIGN | OURS).intersection(loaded.stdout.split()) == set()


@pytest.mark.parametrize("package", ON_DEMAND, ids=lambda package: package.__name__)
def test_every_name_that_a_package_offers_is_there_when_it_is_asked_for(package) -> None:
    for name in set(package.__all__) - {"app"}:  # which the environment describes
        assert getattr(package, name) is getattr(package, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("package", ON_DEMAND, ids=lambda package: package.__name__)
def test_no_module_bears_a_name_that_its_package_offers(package) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(package.__all__), "whoever imports such a module replaces what is offered"


@pytest.mark.parametrize("package", ON_DEMAND, ids=lambda package: package.__name__)
def test_a_package_offers_on_demand_what_the_type_checker_sees_there(package) -> None:
    seen, table = set(), None
    for node in ast.walk(ast.parse(inspect.getsource(package))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and str(line.module).startswith("bridge."):
                    seen |= {(line.module, alias.name) for alias in line.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "on_demand":
            table = ast.literal_eval(node.args[1])
    assert {(source, name) for source, names in table.items() for name in names.split()} == seen


def test_a_package_works_without_its_source(tmp_path) -> None:
    shutil.copytree(ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(tmp_path / "bridge", legacy=True, quiet=1)
    for file in tmp_path.rglob("*.py"):
        file.unlink()
    program = "import bridge; assert bridge.__file__.endswith('.pyc'), bridge.__file__; bridge.SSEEvent, bridge.emit"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=PROCESS_TIMEOUT_S)
