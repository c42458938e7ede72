"""The alert rules and the dashboard in deploy/: every metric that they name is in a real scrape, with its labels."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.ops import create_ops_app
from bridge.settings import Settings
from tests.support.ops import AppClient
from tests.support.promtool import CONFIG, DEPLOY, promtool, rules

DASHBOARD = DEPLOY / "grafana-dashboard.json"


def dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def alert_expressions() -> list[str]:
    return [rule.expr for rule in rules().values()]


@pytest.mark.parametrize("expressions", [alert_expressions(), dashboard_expressions()], ids=["alerts", "dashboard"])
def test_every_metric_named_is_in_a_scrape(settings: Settings, expressions: list[str]) -> None:
    text = AppClient(create_ops_app(settings, REGISTRY)).get("/metrics").text
    known = {
        family.name + suffix
        for family in text_string_to_metric_families(text)
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
    }
    assert len(expressions) > 10
    named = {name for expression in expressions for name in re.findall(r"\bbridge_\w+", expression)}
    assert named - known == set()


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    taken = {(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
    assert len(taken) == sum(place["w"] * place["h"] for place in places)


def test_promtool_accepts_the_rules() -> None:
    promtool("check", "config", CONFIG)


def test_promtool_accepts_a_scrape(settings: Settings) -> None:
    promtool("check", "metrics", text=AppClient(create_ops_app(settings, REGISTRY)).get("/metrics").text)
