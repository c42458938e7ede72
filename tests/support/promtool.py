"""Prometheus' own judgement of what deploy/ and /metrics say."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import PROCESS_TIMEOUT_S

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yml"
CONFIG = DEPLOY / "prometheus.yml"


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert as the file has it."""

    alert: str
    expr: str
    severity: str
    summary: str
    description: str


def rules() -> dict[str, Rule]:
    """Every alert, by name. Reads the file's own plain form, so that no YAML package is needed."""
    found = {}
    for block in re.split(r"^ +- alert: ", ALERTS.read_text(), flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        fields = dict(re.findall(r"^ +(expr|summary|description): (.+)$", rest, re.MULTILINE))
        severity = re.search(r"labels: \{severity: (\w+)\}", rest)
        assert severity, name
        texts = {field: text.strip('"') for field, text in fields.items()}
        found[name] = Rule(alert=name, severity=severity[1], **texts)
    return found


def promtool(*arguments: str | Path, text: str = "") -> str:
    """What promtool says, having found no fault; without it, CI fails and a laptop skips."""
    program = shutil.which("promtool")
    if program is None:
        message = "promtool is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [program, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
