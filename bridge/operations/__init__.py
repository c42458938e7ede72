"""What operators see and do: reading the store and the broker, and acting on dead letters, retries and queues.

Whatever asks Redis or the broker raises StoreError or BrokerError where it is away or refuses; a docstring speaks of it
only where more is to be said. A store that is handed in stays its owner's to close.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.operations.audit import Audit, Auditor, went_away
    from bridge.operations.dry_run import Expected, Prediction
    from bridge.operations.groups import Group
    from bridge.operations.health import Fault, is_consuming, stranded
    from bridge.operations.holdings import Holding, read_holdings
    from bridge.operations.known import found_categories
    from bridge.operations.letters import Letters, letter_as_dict
    from bridge.operations.liveness import notes_of
    from bridge.operations.queue_moves import QueueMover
    from bridge.operations.redrive import MAX_FAILURES_DEFAULT, Redrives, RedriveState, RedriveStatus
    from bridge.operations.retries import Retries, retry_as_dict
    from bridge.operations.search import Verdict
    from bridge.operations.selection import FOREVER_MS, Facts, Selection, facts_of, parse_time, users_in
    from bridge.operations.status import Status, StatusReader
    from bridge.operations.survey import Survey
    from bridge.operations.trace import Buried, Discarded, OnItsWay, Place, SkippedEvent, Tracer, Waiting, Whereabouts

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.operations.audit": "Audit Auditor went_away",
        "bridge.operations.dry_run": "Expected Prediction",
        "bridge.operations.groups": "Group",
        "bridge.operations.health": "Fault is_consuming stranded",
        "bridge.operations.holdings": "Holding read_holdings",
        "bridge.operations.known": "found_categories",
        "bridge.operations.letters": "Letters letter_as_dict",
        "bridge.operations.liveness": "notes_of",
        "bridge.operations.queue_moves": "QueueMover",
        "bridge.operations.redrive": "MAX_FAILURES_DEFAULT Redrives RedriveState RedriveStatus",
        "bridge.operations.retries": "Retries retry_as_dict",
        "bridge.operations.search": "Verdict",
        "bridge.operations.selection": "FOREVER_MS Facts Selection facts_of parse_time users_in",
        "bridge.operations.status": "Status StatusReader",
        "bridge.operations.survey": "Survey",
        "bridge.operations.trace": "Buried Discarded OnItsWay Place SkippedEvent Tracer Waiting Whereabouts",
    },
)
