"""The alert rules, run by promtool over made-up hours: each fires on its incident, with the right words, only then."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.promtool import ALERTS, promtool, rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """A course of events, a value a minute in promtool's notation, and what must be said of it.

    Attributes:
        series: metric → its values; laid over the healthy ones, whose course is the same for ever.
        at: when the alert must fire.
        before: when it must not fire yet; empty if it fires as soon as the first value is seen.
        summary: what a person reads.
        labels: besides the severity.
    """

    series: dict[str, str]
    at: str
    before: str = ""
    summary: str
    labels: dict[str, str] = field(default_factory=dict)


MOOD = {"type": "mood.shown", "category": "moods"}
DEAD = 'bridge_events_total{category="moods",outcome="dead",type="mood.shown"}'
FULL = 'bridge_events_total{category="moods",outcome="retry_full",type="mood.shown"}'
WELL = {
    "bridge_store_up": "1x90",
    "bridge_healthy": "1x90",
    'bridge_workers{state="consuming"}': "2x90",
    'bridge_workers{state="not_consuming"}': "0x90",
    'bridge_queue_oldest_age_seconds{queue="bridge.moods"}': "3x90",
    'bridge_publish_delay_seconds_bucket{le="0.1"}': "0+90x90",
    'bridge_publish_delay_seconds_bucket{le="10.0"}': "0+90x90",
    'bridge_publish_delay_seconds_bucket{le="30.0"}': "0+90x90",
    'bridge_publish_delay_seconds_bucket{le="+Inf"}': "0+90x90",
    'bridge_events_total{category="moods",outcome="published",type="mood.shown"}': "0+90x90",
    'bridge_events_total{category="moods",outcome="retried",type="mood.shown"}': "0+1x90",
    DEAD: "4x90",
    FULL: "0x90",
    "bridge_dead_letters_evicted_total": "0x90",
    "bridge_recent_dead_share": "0.01x90",
    "bridge_recent_dead_events": "1x90",
    "bridge_retries_overdue_seconds": "1x90",
    'bridge_producer_spooled_events{host="a"}': "100-1x90",
    'bridge_outbox_oldest_event_seconds{database="postgresql://db/shop"}': "2x90",
    'bridge_outbox_set_aside_rows{database="postgresql://db/shop"}': "0x90",
    "bridge_books_difference": "0x90",
    "bridge_events_unbooked_total": "0x90",
    'bridge_gateway_cuts_total{reason="too_slow"}': "0+1x90",
    'bridge_gateway_cuts_total{reason="stalled"}': "0x90",
    "bridge_gateway_redis_losses_total": "0 0 1x88",
}
INCIDENTS = {
    "BridgeStoreDown": Incident(
        series={"bridge_store_up": "1x4 0x85"}, at="7m", before="5m30s", summary="Redis does not answer the bridge"
    ),
    "BridgeUnscraped": Incident(
        series={"bridge_store_up": "1x4 stale"}, at="8m", before="6m", summary="The health of the bridge is unknown"
    ),
    "BridgeNoWorker": Incident(
        series={'bridge_workers{state="consuming"}': "2x4 0x85"},
        at="7m",
        before="5m30s",
        summary="No worker consumes",
        labels={"state": "consuming"},
    ),
    "BridgeUnhealthy": Incident(
        series={"bridge_healthy": "1x4 0x85"},
        at="8m",
        before="6m",
        summary="A worker or a queue of the bridge is in trouble",
    ),
    "BridgeQueueOld": Incident(
        series={'bridge_queue_oldest_age_seconds{queue="bridge.moods"}': "3x4 90x85"},
        at="8m",
        before="6m",
        summary="Events wait for 1m 30s on bridge.moods",
        labels={"queue": "bridge.moods"},
    ),
    "BridgePublishSlow": Incident(
        series={
            'bridge_publish_delay_seconds_bucket{le="10.0"}': "0+45x90",
            'bridge_publish_delay_seconds_bucket{le="0.1"}': "0+45x90",
        },
        at="25m",
        before="9m",
        summary="One event in a hundred takes longer than 29.6s to be published",
    ),
    "BridgeDeadLettersGrow": Incident(
        series={DEAD: "0x9 180x80"},
        at="12m",
        before="9m",
        summary="180 events of type mood.shown were dead-lettered",
        labels={**MOOD, "outcome": "dead"},
    ),
    "BridgeQueueStranded": Incident(
        series={'bridge_queue_stranded_messages{queue="bridge.old"}': "_x5 7x85"},
        at="7m",
        before="5m30s",
        summary="7 messages wait on bridge.old, which no worker consumes",
        labels={"queue": "bridge.old"},
    ),
    "BridgeManyDie": Incident(
        series={"bridge_recent_dead_share": "0.01x4 0.24x85", "bridge_recent_dead_events": "1x4 240x85"},
        at="7m",
        before="5m30s",
        summary="24% of the events of the last minute died",
    ),
    "BridgeDeadLettersEvicted": Incident(
        series={"bridge_dead_letters_evicted_total": "0x9 7x80"},
        at="12m",
        before="9m",
        summary="7 events were lost to the bounds of the dead letters",
    ),
    "BridgeRetrySetFull": Incident(
        series={FULL: "0x9 3x80"},
        at="12m",
        before="9m",
        summary="3 events of type mood.shown found no room among the waiting retries",
        labels={**MOOD, "outcome": "retry_full"},
    ),
    "BridgeRetriesOverdue": Incident(
        series={"bridge_retries_overdue_seconds": "1x4 120x85"}, at="8m", before="6m", summary="A retry is 2m 0s late"
    ),
    "BridgeSpoolGrows": Incident(
        series={
            'bridge_producer_spooled_events{host="a"}': "0+9x90",
            'bridge_producer_spooled_events{host="b"}': "5x90",
        },
        at="30m",
        before="9m",
        summary="275 events wait on producers' disks, and they become more",
    ),
    "BridgeOutboxOld": Incident(
        series={'bridge_outbox_oldest_event_seconds{database="postgresql://db/shop"}': "2x4 90x85"},
        at="8m",
        before="6m",
        summary="An event waits in the outbox of postgresql://db/shop for 1m 30s",
        labels={"database": "postgresql://db/shop"},
    ),
    "BridgeOutboxRowsSetAside": Incident(
        series={'bridge_outbox_set_aside_rows{database="postgresql://db/shop"}': "0x4 3x85"},
        at="11m",
        before="9m",
        summary="3 rows in the outbox of postgresql://db/shop are not sent",
        labels={"database": "postgresql://db/shop"},
    ),
    "BridgeBooksUnbalanced": Incident(
        series={"bridge_books_difference": "0x4 3x85"},
        at="11m",
        before="9m",
        summary="3 events are not accounted for",
    ),
    "BridgeUnbooked": Incident(
        series={"bridge_events_unbooked_total": "0x9 2x80"},
        at="12m",
        before="9m",
        summary="2 events were published without an accept record",
    ),
    "BridgeGatewayCuts": Incident(
        series={'bridge_gateway_cuts_total{reason="too_slow"}': "0+12x90"},
        at="25m",
        before="9m",
        summary="Gateways cut clients that are too slow, more than six a minute",
    ),
    "BridgeGatewayLosesRedis": Incident(
        series={"bridge_gateway_redis_losses_total": "0x9 6x80"},
        at="12m",
        before="9m",
        summary="Gateways lose their subscription again and again",
    ),
}


def test_there_is_an_incident_for_every_alert() -> None:
    assert set(INCIDENTS) == set(rules())


@pytest.mark.parametrize("alert", INCIDENTS)
def test_an_alert_fires_on_its_incident_and_not_before(alert: str, tmp_path: Path) -> None:
    incident, rule = INCIDENTS[alert], rules()[alert]
    expected = {
        "exp_labels": {"severity": rule.severity, **incident.labels},
        "exp_annotations": {"summary": incident.summary, "description": rule.description},
    }
    moments = [{"eval_time": incident.at, "alertname": alert, "exp_alerts": [expected]}]
    moments.append({"eval_time": incident.before, "alertname": alert, "exp_alerts": []})
    _run(tmp_path, {**WELL, **incident.series}, moments)


def test_nothing_is_alarmed_while_all_is_well(tmp_path: Path) -> None:
    moments = [{"eval_time": at, "alertname": alert, "exp_alerts": []} for alert in rules() for at in ("20m", "80m")]
    _run(tmp_path, WELL, moments)


def test_one_more_failure_of_a_type_that_never_failed_is_alarmed(tmp_path: Path) -> None:
    """A counter that appeared only with its first failure would rise from nothing, and nobody would hear."""
    rule = rules()["BridgeDeadLettersGrow"]
    expected = {
        "exp_labels": {"severity": rule.severity, **MOOD, "outcome": "dead"},
        "exp_annotations": {
            "summary": "1 events of type mood.shown were dead-lettered",
            "description": rule.description,
        },
    }
    moments = [{"eval_time": "12m", "alertname": rule.alert, "exp_alerts": [expected]}]
    _run(tmp_path, {**WELL, DEAD: "0x9 1x80"}, moments)


def _run(folder: Path, series: dict[str, str], moments: list[dict[str, Any]]) -> None:
    """JSON is YAML too."""
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": moments,
            }
        ],
    }
    path = folder / "alerts-test.yml"
    path.write_text(json.dumps(test))
    promtool("test", "rules", path)
