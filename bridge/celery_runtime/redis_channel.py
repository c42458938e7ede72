"""``ClaimingChannel``: loses no message of a Redis broker, as it claims atomically, and acknowledges in batches.

Stock kombu takes a message off its list first and writes it down second; a worker killed in between
loses it (kombu #305). Here one script does both. Key names and formats are kombu's, so that stock
workers and tools understand them. Waiting costs nothing: Redis tells a second connection when a queue
changes (client-side caching's invalidation messages), and only then a claim is sent.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cached_property
from queue import Empty
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.transport import redis as stock

from bridge.celery_runtime.redis_claims import ClaimingQoS, ThroughputEstimator
from bridge.messages.bundling import EVENTS_MAX, Bundle, Claimed, bundle
from bridge.messages.queue_item import RAW, read_item
from bridge.model.bounds import MessageBounds
from bridge.model.errors import StoreError
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter import store_error
from bridge.redis_adapter.kombu_support import (
    BREAKS,
    CLAIMED_KEYS,
    UNKNOWN_SCRIPT,
    BrokerConnection,
    BrokerSSLConnection,
    Call,
    QueueWatch,
    script,
    without_prefix,
)

logger = plain_logger(__name__)

DELIVERIES_KEY = "bridge:deliveries"
"""Hash: fingerprint of a message → how often it came back because its worker went away."""

CLAIM_MAX = 200
"""Messages that one claim takes at most."""
HELD_S = 0.25
"""A bundle holds, and a claim takes beyond the prefetch, what by experience is done within this time."""
RESTORE_MAX = 1000
"""Abandoned messages that one look puts back at most."""

_CLAIM = script("claim")


class ClaimingChannel(QueueWatch, stock.Channel):
    """A channel whose fetch is one script."""

    QoS = ClaimingQoS
    connection_class: type = BrokerConnection
    connection_class_ssl: type = BrokerSSLConnection
    #: Keeps what is no message: bytes, queue, and why; has kept it when it returns. Without it, that ends the reading.
    quarantine: Callable[[bytes, str, Exception], None] | None = None
    #: Of a message; set by the consumer.
    bounds = MessageBounds.WIDEST
    #: Names of the tasks that take bundles, and whether bundles of several tasks are allowed; set by the consumer.
    bundling_tasks: Collection[str] = frozenset()
    mixes_tasks = False
    #: Tags of what this worker's pool runs, unless the worker is ending; set by the consumer.
    running: Callable[[], Collection[str]] = frozenset

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tag_start = f"{uuid4()}:"
        self._claims = 0
        self._asked: list[str] = []
        self._unanswered = 0
        self._ask_again_at = 0.0
        self._by_hash = True
        self._came_back: dict[str, str] = {}
        self._bundles: dict[str, Bundle] = {}
        self._parting: deque[tuple[str, int]] = deque()
        self.pace = ThroughputEstimator()
        self._no_ack: set[str] = set()
        self._predecessors: list[ClaimingChannel] = []
        super().__init__(*args, **kwargs)
        # kombu makes a new client for every acknowledgement, and can make none once the channel is closed.
        self._records = self._create_client()
        self.handlers[self.WAKE] = self.read_wake_up

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep the bindings alive. Where Redis refuses, kombu would write a traceback."""
        try:
            super().maybe_refresh_binding_expiry()
        except self.ResponseError as error:
            logger.warning("bridge.broker.bindings: they are kept alive later. %s", store_error(error))

    # Claiming

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume a queue; with ``no_ack`` (replies to remote control) a message is done when it is delivered."""
        (self._no_ack.add if no_ack else self._no_ack.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002  (kombu's signature)
        """Send a claim, unless the last one found nothing and nothing has changed since."""
        if self._idle and monotonic() < self._ask_again_at:
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        room = self.qos.can_consume_max_estimate()
        self._claims += 1
        prefix = self.global_keyprefix
        # No more than goes into a bundle: while a claim is read, the pool waits for its next one.
        by_pace = self.pace.messages_in(HELD_S, events_max=EVENTS_MAX)
        wanted = CLAIM_MAX if room is None else min(CLAIM_MAX, max(room, by_pace))
        keys = (*self._keys_of_claim, *[prefix + queue for queue in queues])
        call = Call(keys, [wanted, f"{self._tag_start}{self._claims}:", *queues])
        self._asked, self._woken, self._unanswered = queues, False, wanted
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        try:
            self.client.connection.send_command(*_CLAIM.command(call, by_text=not self._by_hash))
        except BREAKS:
            self._lose_claim()

    @cached_property
    def _claim_keys(self) -> dict[str, str]:
        names = {"unacked": self.unacked_key, "unacked_index": self.unacked_index_key, "deliveries": DELIVERIES_KEY}
        return {name: self.global_keyprefix + key for name, key in names.items()}

    @cached_property
    def _keys_of_claim(self) -> tuple[str, ...]:
        return _CLAIM.keys(None, **self._claim_keys)

    def _brpop_read(self, **options: Any) -> bool:  # noqa: ARG002  (kombu's signature)
        """Read a claim's answer and deliver what it brought."""
        connection = self.client.connection
        try:
            taken = connection.read_response()
        except UNKNOWN_SCRIPT:
            self._by_hash = False
            raise Empty from None
        except BREAKS:
            self._lose_claim()
            raise Empty from None
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._by_hash, self._unanswered = True, 0
        if not taken:
            self._idle, self._ask_again_at = not self._woken, monotonic() + self._poll_s
            raise Empty
        self._idle = False
        queues = self._asked
        claimed = [
            message
            for tag, index, raw, deliveries in zip(taken[::4], taken[1::4], taken[2::4], taken[3::4], strict=True)
            if (message := self._read_claimed(tag.decode(), queues[index - 1], raw, int(deliveries))) is not None
        ]
        most = self.pace.events_in(HELD_S)
        limits = {"events_max": most, "envelopes_max": self.bounds.envelopes}
        for bundled in bundle(claimed, tasks=self.bundling_tasks, mixed=self.mixes_tasks, **limits):
            self._deliver_bundle(bundled)
        pairs = zip(taken[::4], taken[1::4], strict=True)
        if done := [tag.decode() for tag, index in pairs if queues[index - 1] in self._no_ack]:
            self.forget(done)
        for queue in {queues[index - 1] for index in taken[1::4]}:
            self._queue_cycle.rotate(queue)
        return True

    def _lose_claim(self) -> None:
        """Go on if only this connection broke, as an idle one does: what its last claim may have taken goes back.

        Raises:
            RedisError: Redis does not answer on another one either.
        """
        self._in_poll = None
        self.connection.cycle.drop(self, self.client, "BRPOP")
        unseen = self._unseen()
        if unseen:
            self._put_back(-1, len(unseen), died=False, tags=unseen)
        else:
            self._records.ping()
        self._idle, self._unanswered = False, 0

    def _unseen(self) -> list[str]:
        """Tags of what the last claim may have taken, if its answer never came."""
        return [f"{self._tag_start}{self._claims}:{number}" for number in range(1, self._unanswered + 1)]

    def _read_claimed(self, tag: str, queue: str, raw: bytes, deliveries: int) -> Claimed | None:
        if deliveries:
            self._came_back[tag] = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        try:
            return Claimed(tag, queue, read_item(raw, tag=tag, queue=queue, deliveries=deliveries, bounds=self.bounds))
        except Exception as error:  # a queue may hold anything
            self._put_aside(tag, queue, raw, error)
            return None

    def _deliver_bundle(self, bundled: Bundle) -> None:
        lead = bundled.lead
        if bundled.events:
            self.pace.begin(lead.tag, len(bundled.members), bundled.events)
        else:
            self.pace.forget()
            try:
                self.Message(lead.payload, channel=self)
            except Exception as error:  # a queue may hold anything
                self._put_aside(lead.tag, lead.queue, lead.payload[RAW], error)
                return
        self._bundles[lead.tag] = bundled
        self.connection._deliver(bundled.payload(), lead.queue)

    def part(self, lead_tag: str, *, done: int = 0) -> bool:
        """Redeliver the remaining messages of a bundle individually, without the first ones that are done.

        Safe with threads: it happens at the next turn of the loop.

        Returns:
            False if there is nothing to part: a single message, or a channel that gives back what it holds.
        """
        bundled = self._bundles.get(lead_tag)
        if self.closed or bundled is None or len(bundled.members) == 1:
            return False
        self._parting.append((lead_tag, done))
        return True

    def deliver_parted(self) -> None:
        """Deliver what was parted since the last turn."""
        while self._parting:
            lead_tag, done = self._parting.popleft()
            self.deliver_one_by_one(lead_tag, done=done)

    def deliver_one_by_one(self, lead_tag: str, *, done: int = 0) -> bool:
        """Do as ``part``, at once."""
        bundled = self._bundles.get(lead_tag)
        if bundled is None or len(bundled.members) == 1:
            return False
        del self._bundles[lead_tag]
        self.pace.forget()
        if done:
            self.qos.ack(lead_tag)
        if done > 1:
            self.forget(bundled.tags[1:done])
        for member in bundled.members[done:]:
            self.connection._deliver(member.payload, member.queue)
        return True

    def _expand(self, tags: list[str]) -> list[str]:
        """The tags of every message that was delivered under these."""
        expanded: list[str] = []
        for tag in tags:
            bundled = self._bundles.get(tag)
            expanded += bundled.tags if bundled is not None else (tag,)
        return expanded

    def _put_aside(self, tag: str, queue: str, raw: bytes, error: Exception) -> None:
        """Quarantine what is no message. If that fails it stays unacknowledged, and comes back."""
        if self.quarantine is None:
            raise error
        try:
            self.quarantine(raw, queue, error)
        except StoreError as trouble:
            logger.error("bridge.message.returned: %s", trouble)
        else:
            self.forget([tag])

    # The broker's own records

    def forget(self, tags: list[str]) -> None:
        """Remove messages that are done, and how often they came back."""
        lead_tags, tags = tags, self._expand(tags)
        for tag in lead_tags:
            self._bundles.pop(tag, None)
        fingerprints = [self._came_back.pop(tag) for tag in tags if tag in self._came_back]
        # No transaction: a full Redis refuses every command in one, also those that would free memory.
        with self._records.pipeline(transaction=False) as pipe:
            pipe.zrem(self.unacked_index_key, *tags)
            pipe.hdel(self.unacked_key, *tags)
            if fingerprints:
                pipe.hdel(DELIVERIES_KEY, *fingerprints)
            pipe.execute()

    def renew(self, tags: list[str]) -> None:
        """Say that this worker lives and still holds these messages."""
        seconds, microseconds = self._records.time()
        now = f"{seconds}.{microseconds:06d}"
        scores = (word for tag in self._expand(tags) for word in (now, tag))
        self._records.execute_command("ZADD", self.unacked_index_key, "XX", *scores)

    def give_back(self, tags: list[str]) -> None:
        """Put messages back on their queues, first in line."""
        expanded = self._expand(tags)
        self._put_back(-1, len(expanded), died=False, tags=expanded)
        for tag in tags:
            self._bundles.pop(tag, None)

    def give_back_but(self, running: Collection[str]) -> None:
        """Give back all that is held but what runs, as nothing is consumed any more."""
        if self._in_poll:
            with suppress(Empty):
                self._brpop_read()  # a claim under way; kombu gives back what has no consumer
        self.deliver_parted()
        for channel in (*self._predecessors, self):
            channel.qos.give_back_but(running)

    def inherit(self, previous: "ClaimingChannel") -> None:
        """Give back at once what a channel of the same worker held when its connection broke, but for what still runs.

        No other worker could do that before the visibility timeout is over.
        """
        running = self.running()
        for channel in (*previous._predecessors, previous):
            channel._follow(self)
            channel.qos.flush_acknowledgements()
            left = [*channel._expand(channel.qos.leave(running)), *channel._unseen()]
            if left:
                self._put_back(-1, len(left), died=False, tags=left)
                logger.info("bridge.broker.gave_back messages<=%d: their connection broke.", len(left))
            channel._unanswered = 0
            if channel.qos.holds_any:
                self._predecessors.append(channel)

    def _follow(self, heir: "ClaimingChannel") -> None:
        """Acknowledge and give back what is still held over another channel's connections.

        Another server may know nothing of what was done last: there it runs again, and what is published is recognised.
        """
        self._records = heir._records
        if self.server.name and heir.server.name != self.server.name:
            self.forget = self.give_back  # type: ignore[method-assign]
            logger.warning("bridge.broker.moved: another Redis is the master now; what was done last runs again.")

    def renew_predecessors(self) -> None:
        """Renew what runs on since an earlier connection."""
        self._predecessors = [channel for channel in self._predecessors if channel.qos.holds_any]
        for channel in self._predecessors:
            self.renew(channel._expand(list(channel.qos.held)))

    def restore_abandoned(self, age_s: float) -> None:
        """Put back messages whose claim is older than ``age_s``."""
        self._put_back(age_s, RESTORE_MAX, died=True, tags=[])

    def _put_back(self, age_s: float, limit: int, *, died: bool, tags: list[str]) -> None:
        arguments = [age_s, limit, int(died), self.global_keyprefix, *tags]
        # kombu's prefixing client prefixes the first key of a script by its hash, and only that.
        client = without_prefix(self._records)
        beside = [self.global_keyprefix + key for key in CLAIMED_KEYS if key != self.unacked_key]
        left = script("restore").run(client, arguments, beside, **self._claim_keys)
        for tag in left[::2]:
            self.qos.restore_by_tag(stock.bytes_to_str(tag), client=self._records)

    def close(self) -> None:
        """Acknowledge what is done, give back the rest, and close."""
        if not self.closed and self._qos is not None:
            try:
                self._qos.flush_acknowledgements()
            except self.connection_errors:
                logger.warning("bridge.broker.unacknowledged: finished messages will be delivered again.")
        super().close()
