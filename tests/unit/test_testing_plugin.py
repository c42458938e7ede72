"""The pytest plugin: its fixture, and that a run of pytest that uses none of it pays for none of it."""

import subprocess
import sys
import tomllib

import pytest

from tests.support.worker import ROOT

pytest_plugins = ("pytester",)
CONFTEST = """
import pytest
from tests.support.orders import registry

@pytest.fixture
def bridge_registry():
    return registry
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_the_fixture_records_and_its_failures_read_well(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("""
        from bridge import emit
        from tests.support.orders import OrderPaid, OrderShipped

        def test_passes(emitted):
            emit(OrderPaid(user_id=1, number="7"))
            assert emitted.only(OrderPaid).number == "7"

        def test_begins_anew(emitted):
            emitted.nothing()

        def test_fails(emitted):
            emit(OrderShipped(user_id=2))
            emitted.only(OrderPaid)
    """)
    result = pytester.runpytest_inprocess("-p", "sse_bridge_pytest")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*emitted.only(OrderPaid)", "E *One OrderPaid was expected, not 0. Emitted:", "E *1. OrderShipped(*"]
    )
    result.stdout.no_fnmatch_line("*def only(*")


def test_a_catalog_may_be_named_by_its_path_and_a_wrong_one_is_a_sentence(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.replace("return registry", 'return "tests.support.orders:registry"'))
    pytester.makepyfile(
        test_right="""
        import pytest
        from bridge import emit
        from tests.support.orders import OrderPaid

        def test_captured(emitted):
            emit(OrderPaid(user_id=1, number="7"))
            assert emitted.only(OrderPaid).number == "7"

        def test_streamed(memory_bridge):
            stream = memory_bridge.connect(1)
            emit(OrderPaid(user_id=1, number="7"))
            assert stream.next().payload == {"number": "7"}

        class TestWrong:
            @pytest.fixture
            def bridge_registry(self):
                return "nowhere:registry"

            def test_streamed(self, memory_bridge):
                pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "sse_bridge_pytest")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*nowhere*"])
    result.stdout.no_fnmatch_line("*def memory_bridge*")


def test_the_plugin_is_named_and_loads_nothing_of_the_bridge() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    code = f"import sys, {module}; print([name for name in ('bridge', 'redis', 'celery') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_image_is_built_with_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in packages["packages"]:
        assert [package] in copied and f"!{package}" in ignored
