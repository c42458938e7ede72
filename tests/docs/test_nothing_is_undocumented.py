"""What operators and other software meet is on a page: metrics, keys, counts, headers, commands, log events."""

import inspect
import re
from itertools import chain

import click
import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from bridge.catalogs.finance import REGISTRY
from bridge.cli.app import cli
from bridge.cli.documents import settings_page
from bridge.gateway.connection import ResetReason
from bridge.messages import task_message
from bridge.model.counting import Counters
from bridge.ops.monitoring import RefusalCollector, families
from bridge.redis_adapter.keyspace import Keyspace
from bridge.settings import DECLARATIONS, Settings, environment_name
from tests.support.counts import COUNT_NAMES
from tests.support.fixed_status import STATUS
from tests.support.worker import ROOT

DOCS = ROOT / "docs"
OPERATING = (DOCS / "operating.md").read_text()
WIRE_FORMAT = (DOCS / "wire-format.md").read_text()
# Not what is made from docstrings: they explain the code, and not how it is operated.
WRITTEN = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "api")
EVERY_PAGE = "\n".join(page.read_text() for page in [ROOT / "README.md", *WRITTEN])


def metric_names() -> list[str]:
    """As Prometheus shows them: a counter ends in ``_total``."""
    metrics: list[Metric] = [
        GaugeMetricFamily("bridge_store_up", ""),  # which stands alone while Redis is away
        *families(STATUS, REGISTRY, Settings()),
        *RefusalCollector(lambda: {"tokens": 0, "streams": 0}).collect(),
    ]
    return [metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics]


def keys_and_channels() -> list[str]:
    """Every name that a Keyspace makes, with its parameters as the page writes them."""
    keyspace = Keyspace()
    names = {name: value for name, value in vars(keyspace).items() if name.isupper()}
    plain = [value.replace("%s", "<topic>" if "TOPIC" in name else "<user_id>") for name, value in names.items()]
    others = ("of", "of_redrive", "seen_marks", "without", "channel", "stream", "seen", "mark_of_message", "told_by")
    methods = [
        method
        for name, method in inspect.getmembers(keyspace, inspect.ismethod)
        if not name.startswith("_") and name not in others
    ]
    shown = {"user_id": "<user_id>", "event_id": "<event_id>", "message_id": "<message id>", "redrive_id": "<id>"}
    shown |= {"digest": "<digest>"}
    plain += keyspace.of_redrive("<id>").values()
    return plain + [method(*(shown[name] for name in inspect.signature(method).parameters)) for method in methods]


def leaves(command: click.Command, path: str) -> list[str]:
    """The commands below a command, by their whole names."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    below = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return list(chain.from_iterable(leaves(found, f"{path} {name}") for name, found in below if found))


def log_events() -> set[str]:
    """Names in the code that begin a log line; modules are named alike."""
    code = [file.read_text() for file in (ROOT / "bridge").rglob("*.py")]
    named = {name for text in code for name in re.findall(r"\"(bridge\.[a-z_]+\.[a-z_]+)(?=[ :\"])", text)}
    return {name for name in named if not list(ROOT.glob(f"{name.replace('.', '/')}*"))}


def test_every_metric_is_on_the_operating_page() -> None:
    assert [name for name in metric_names() if f"`{name}" not in OPERATING] == []


def test_every_count_of_a_gateway_is_a_metric_of_the_whole_bridge() -> None:
    counted = {name.replace("cut_too_slow", "cuts").replace("cut_stalled", "cuts") for name in Counters().as_dict()}
    assert {f"bridge_gateway_{name}_total" for name in counted} <= set(metric_names())


def test_every_metric_of_the_dashboard_and_of_an_alert_exists() -> None:
    deployed = "".join((ROOT / "deploy" / n).read_text() for n in ("grafana-dashboard.json", "prometheus-alerts.yml"))
    named = set(re.findall(r"\bbridge_[a-z_]+", deployed))
    assert named
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} <= set(metric_names())


def test_every_setting_is_on_its_page() -> None:
    page = settings_page()
    assert [name for name in map(environment_name, DECLARATIONS) if f"| `{name}` |" not in page] == []


def test_every_key_and_channel_is_in_the_wire_format() -> None:
    names = keys_and_channels()
    assert len(names) > 30
    # Of a redrive's keys, which all begin alike, the page shows the ends; of a seen mark it shows whole forms only.
    shown = [re.sub(r"^bridge:replay:<id>(?=:)", "", name) for name in names]
    assert [name for name in shown if f"`{name}" not in WIRE_FORMAT and f"{name}`" not in WIRE_FORMAT] == []


def test_every_count_in_redis_is_in_the_wire_format() -> None:
    assert [name for name in COUNT_NAMES if f"`{name}`" not in WIRE_FORMAT] == []


def test_every_header_that_may_come_from_outside_is_in_the_wire_format() -> None:
    headers = [value for name, value in vars(task_message).items() if name.endswith("_HEADER")]
    assert "bridge_attempt" in headers
    # What a worker writes by itself is refused from outside, or written over.
    own = [task_message.BUNDLE_HEADER, task_message.CLAIMED_ON_HEADER]
    assert [name for name in headers if f"`{name}`" not in WIRE_FORMAT] == own


def test_every_reason_for_a_reset_is_in_the_wire_format() -> None:
    assert [reason.value for reason in ResetReason if f"| `{reason.value}` |" not in WIRE_FORMAT] == []


@pytest.mark.parametrize("command", leaves(cli, "sse-bridge"))
def test_every_command_is_on_a_page(command: str) -> None:
    _, group, *name = command.split()
    assert command in EVERY_PAGE or (name and re.search(rf"`{group} {name[0]}[` ]", EVERY_PAGE))


def test_every_log_event_is_on_a_page() -> None:
    events = log_events()
    assert len(events) > 50
    assert [event for event in sorted(events) if f"`{event}" not in EVERY_PAGE] == []
