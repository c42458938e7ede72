"""What operators see and do: reading the store and the broker, and acting on dead letters, retries and queues.

Whatever asks Redis or the broker raises StoreError or BrokerError where it is away or refuses; a docstring speaks of it
only where more is to be said. A store that is handed in stays its owner's to close.
"""

from bridge.operations.audit import Audit, Auditor, went_away
from bridge.operations.disconnecting import Disconnected, disconnect_session, disconnect_user, end_streams
from bridge.operations.dry_run import Expected, Prediction
from bridge.operations.groups import Group
from bridge.operations.health import Fault, is_consuming, stranded
from bridge.operations.holdings import Holding, move_queue, read_holdings
from bridge.operations.known import found_categories
from bridge.operations.letters import AddressHit, Letters, letter_as_dict
from bridge.operations.liveness import notes_of
from bridge.operations.outboxes import OutboxState
from bridge.operations.redrive import MAX_FAILURES_DEFAULT, Redrives
from bridge.operations.retries import Retries, retry_as_dict
from bridge.operations.search import OnItsWay, Place, SkippedEvent, Tracer, Verdict, Waiting, Whereabouts
from bridge.operations.selection import FOREVER_MS, Facts, Selection, address_in, facts_of, of_user, parse_time
from bridge.operations.status import Status, StatusReader
from bridge.operations.survey import Survey
