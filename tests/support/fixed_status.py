"""A status with a number in every place."""

from bridge.messages.queue_item import QueueState
from bridge.model.accounting import Balance, Recent
from bridge.operations.outboxes import OutboxState
from bridge.operations.status import Status
from bridge.runtime.reports import GatewayStates, ProducerReport

STATUS = Status(
    at_ms=0,
    queues=(QueueState(name="bridge.ai", depth=4, oldest_age_s=2.5),),
    claimed=3,
    workers=(),
    published_per_s=None,
    retry_next_ms=-12_000,
    dead_oldest_ms=-60_000,
    dead_newest_ms=None,
    letters=2,
    letters_bytes=0,
    recent=Recent(),
    producers=(
        ProducerReport(started="", host="a", pid=1, waiting=5, spooled=1),
        ProducerReport(started="", host="a", pid=2, waiting=6),
        ProducerReport(started="", host="b", pid=1, spooled=7),
    ),
    outboxes=(
        OutboxState(
            database="postgresql://db/shop",
            waiting=8,
            oldest_s=3.5,
            set_aside=2,
            foreign=1,
            full=False,
            drained_by=2,
            age_s=1.0,
            sent_age_s=0.5,
            trouble="",
        ),
    ),
    gateways=GatewayStates(processes=2, connections=40),
    balance=Balance(
        accepted=100,
        unbooked=1,
        stray=0,
        open=10,
        retrying=3,
        dead=5,
        published=70,
        duplicate=4,
        skipped=6,
        discarded=0,
        evicted=2,
        written_off=0,
    ),
    metrics={
        "published:import.completed": 70,
        "dead:": 1,
        "dead:gone.type": 2,
        "publish_delay_ms:5": 2,
        "publish_delay_ms:250": 1,
        "publish_delay_ms:inf": 1,
        "publish_delay_ms:sum": 500_210,
        "gateway:events_sent": 900,
        "gateway:cut_stalled": 3,
        "something:new": 4,
    },
    faults=(),
)
