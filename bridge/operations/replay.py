"""``Replays``: dead letters sent again as a job, which any process can go on with when the one that ran it is gone.

1. A snapshot is taken of the letters that match, into the job's *pending* set: what dies again is not met again.
2. Letters go from *pending* to *sent*: on a Redis that is both broker and store in the one script that puts their
   message on its queue, so that whenever the process is killed none is sent twice and none forgotten. On another
   broker they are marked before they are sent, and those that the broker did not confirm are sent again only when
   a person says so (``resend``).
3. The worker gives each event one attempt. A letter that is gone succeeded; one that carries the job's id died again.
4. A letter that holds a whole quarantined message ends in the step that puts the message back as it was, and its
   events are on their way as if nothing had happened. When they have ended, wait or are buried, it succeeded; it
   failed if the message was quarantined again.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import redis

from bridge.broker import TaskMessage, TaskSender
from bridge.broker.redis_wire import queue_item
from bridge.errors import OperationRefusedError
from bridge.operations import log
from bridge.operations.foresight import Expected, Foresight, Prediction
from bridge.operations.letters import Letters, chunks
from bridge.operations.selection import Selection
from bridge.operations.staleness import Staleness
from bridge.operations.whole import WholeMessage
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.store import DeadLetter, DeadLetters, keys
from bridge.store.client import script_text, store_errors, text
from bridge.store.ledger import ID_BYTES, entry

WINDOW = 4000
"""Letters that are sent and have no outcome yet, at the most: what a stop cannot call back."""
STEP = 1000
"""Letters read and sent in one go."""
MESSAGE_MAX = 200
MESSAGE_MAX_BYTES = 200_000
LEASE_S = 5.0
POLL_S = 0.02
PATIENCE_S = 120.0
"""How long a replay waits without any outcome before it says that no worker seems to run."""
BRAKE_MIN = 50
"""Outcomes before the failure rate of a replay without a canary means anything."""
REPLAYS_MAX = 1000
KEPT_S = 30 * 86_400
MAX_FAILURES_DEFAULT = 0.1


class ReplayState(StrEnum):
    """Where a replay stands."""

    BUILDING = "building"
    """The snapshot is being taken."""
    READY = "ready"
    """The snapshot is taken, and nobody runs it."""
    RUNNING = "running"
    """A process runs it, or died over it: see ``ReplayStatus.owner``."""
    PAUSED = "paused"
    """A person stopped it."""
    STOPPED = "stopped"
    """It stopped itself: too many failures."""
    STALLED = "stalled"
    """No outcome came for long."""
    DONE = "done"
    """Each letter of the snapshot has been dealt with."""


class ReplayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay is. ``total = pending + sent + left out``; ``sent = succeeded + failed + under way``.

    Attributes:
        replay_id: of the replay.
        state: see ReplayState.
        selection: which letters, as ``Selection.as_dict``.
        who: began it.
        created_ms: when.
        rate: events a second at the most; 0 for no limit.
        canary: letters that are sent first and watched; 0 for none.
        max_failures: share of failures above which it stops itself; None for never.
        total: letters in the snapshot.
        pending: not sent yet.
        sent: put on their queues.
        under_way: sent, and no outcome yet.
        succeeded: published, or recognised as published before, or nobody was to be told; of a letter that
            held a whole message: a worker has run it.
        failed: died again; they are dead letters with one attempt more.
        stale: discarded by their mapping's rule.
        unsendable: left alone: no message of events, or no mapping.
        undecided: left alone: whether a newer event supersedes them cannot be told, as their extractor fails.
        busy: left alone: another replay has sent them.
        gone: were not there any more when their turn came.
        reason: why it stands still; empty while it does not.
        owner: the process that runs it; empty if none does.
    """

    replay_id: str
    state: ReplayState
    selection: dict[str, Any]
    who: str
    created_ms: int
    rate: float = 0
    canary: int = 0
    canary_sent: int = 0
    max_failures: float | None = None
    total: int = 0
    pending: int = 0
    sent: int = 0
    under_way: int = 0
    succeeded: int = 0
    failed: int = 0
    stale: int = 0
    unsendable: int = 0
    undecided: int = 0
    busy: int = 0
    gone: int = 0
    reason: str = ""
    owner: str = ""

    @property
    def finished(self) -> int:
        """Letters of which nothing more will come."""
        return self.total - self.pending - self.under_way

    def numbers(self) -> dict[str, int]:
        """What came of it, for the log."""
        names = ("total", "succeeded", "failed", "stale", "unsendable", "undecided", "busy", "gone", "pending")
        return {name: getattr(self, name) for name in names}


class Replays:
    """Begins, runs, shows and stops replays.

    Args:
        client: of the store; stays yours to close.
        settings: of the bridge.
        registry: today's.
    """

    def __init__(self, client: redis.Redis, settings: Settings, registry: Registry) -> None:
        self._client = client
        self._settings = settings
        self._registry = registry
        self._letters = Letters(client, settings)
        self._lease = client.register_script(script_text("replay_lease"))

    # Beginning

    def begin(
        self,
        selection: Selection,
        *,
        rate: float = 0,
        canary: int = 0,
        max_failures: float | None = None,
        who: str = "",
    ) -> str:
        """Write a replay down, to be run by ``run``; its snapshot is taken there.

        Args:
            selection: which letters; letters that are buried from now on are not meant.
            rate: events a second at the most; 0 for no limit.
            canary: letters to send first; the rest follows only when all of these have an outcome and at
                most ``max_failures`` of them failed. 0 for none.
            max_failures: share (0 to 1) of failures above which the replay stops itself; None means 0.1 with
                a canary, and never without.
            who: begins it; this process's user if empty.

        Returns:
            The id of the replay.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        replay_id = secrets.token_hex(6)
        now_ms = self._now_ms()
        until_ms = min(selection.until_ms, now_ms)
        if max_failures is None and canary:
            max_failures = MAX_FAILURES_DEFAULT
        values: dict[Any, Any] = {
            "state": ReplayState.BUILDING.value,
            "selection": msgspec.json.encode(msgspec.structs.replace(selection, until_ms=until_ms).as_dict()),
            "who": who or log.who_am_i(),
            "created_ms": now_ms,
            "rate": rate,
            "canary": canary,
            "max_failures": "" if max_failures is None else max_failures,
        }
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.replay(replay_id), mapping=values)
            pipeline.expire(keys.replay(replay_id), KEPT_S)
            pipeline.zadd(keys.REPLAYS, {replay_id: now_ms})
            pipeline.zremrangebyrank(keys.REPLAYS, 0, -REPLAYS_MAX - 1)
            pipeline.execute()
        self._log("dead.replay.begin", replay_id, values["who"], selection, {})
        return replay_id

    # Looking

    def status(self, replay_id: str) -> ReplayStatus | None:
        """How far a replay is; None if there is none of that id.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.replay(replay_id))
            pipeline.zcard(keys.replay_pending(replay_id))
            pipeline.zcard(keys.replay_sent(replay_id))
            raw, pending, under_way = pipeline.execute()
        values = {text(name): text(value) for name, value in raw.items()}
        if "state" not in values:
            return None
        return msgspec.convert(
            {
                **values,
                "selection": msgspec.json.decode(values["selection"]),
                "max_failures": float(values["max_failures"]) if values["max_failures"] else None,
                "replay_id": replay_id,
                "pending": pending,
                "under_way": under_way,
            },
            ReplayStatus,
            strict=False,
        )

    def newest(self, limit: int = 20) -> list[ReplayStatus]:
        """The newest replays, newest first.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            ids: Any = self._client.zrevrange(keys.REPLAYS, 0, limit - 1)
        found = (self.status(text(replay_id)) for replay_id in ids)
        return [status for status in found if status is not None]

    def predict(self, selection: Selection) -> Iterator[Prediction]:
        """The dry run: what a replay would do with each letter that matches. Runs the extractors; publishes nothing.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        dead = DeadLetters(self._client, self._settings)
        foresight = Foresight(self._client, self._settings, self._registry)
        staleness = Staleness(self._client, self._settings, foresight)
        newest: dict[str, str] = {}
        if staleness.supersedes_at_all(self._registry):
            for part in chunks(self._letters.ids(selection), STEP):
                staleness.note_newest(list(dead.get_many(part).values()), newest)
        for part in chunks(self._letters.ids(selection), STEP):
            letters = list(dead.get_many(part).values())
            superseded = staleness.superseded(letters, newest)
            for letter, prediction in zip(letters, foresight.predict(letters), strict=True):
                why = superseded.get(letter.letter_id)
                if why is None or prediction.expected not in (Expected.PUBLISHED, Expected.DUPLICATE):
                    yield prediction
                else:
                    yield Prediction(letter_id=letter.letter_id, group=letter.group, expected=Expected.STALE, note=why)

    # Running

    def run(
        self,
        replay_id: str,
        *,
        on_progress: Callable[[ReplayStatus], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        resend: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> ReplayStatus:
        """Run a replay until it is done or stands still; to resume is to run it again.

        Args:
            replay_id: from ``begin``.
            on_progress: called now and then, with how far it is.
            should_stop: asked now and then; true pauses the replay.
            resend: first take back what was sent and has no outcome: for letters that a broker lost. Those
                that it did not lose are then attempted twice, and published once.
            patience_s: how long to wait without any outcome.

        Raises:
            OperationRefusedError: there is no such replay, it is done, or another process runs it.
            StoreUnavailableError: Redis is away; the replay can be resumed.
            BrokerUnavailableError: the broker is away; the replay can be resumed.
        """
        owner = f"{log.who_am_i()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._take(replay_id, owner)
        sender = TaskSender(self._settings, self._registry)
        try:
            run = Run(self, self._client, self._settings, self._registry, sender, replay_id, owner, patience_s)
            run.prepare(resend=resend)
            state, reason = run.go(on_progress, should_stop)
            self.set_state(replay_id, state, reason)
        finally:
            sender.close()
            with store_errors():
                self._lease(keys=[keys.replay(replay_id)], args=[owner, 0])
        status = self._known(replay_id)
        self._log(
            f"dead.replay.{state.value}", replay_id, log.who_am_i(), _selection_of(status), status.numbers(), reason
        )
        on_progress(status)
        return status

    def ask_to_stop(self, replay_id: str) -> None:
        """Have whatever process runs it pause a replay.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            self._client.hset(keys.replay(replay_id), "stop", "1")

    def _take(self, replay_id: str, owner: str) -> None:
        """Get the lease; one that is running out is waited for."""
        status = self._known(replay_id)
        if status.state is ReplayState.DONE:
            raise OperationRefusedError(f"Replay {replay_id} is done; there is nothing left to send.")
        deadline = time.monotonic() + LEASE_S + 1
        while rest_ms := self.renew(replay_id, owner):
            if time.monotonic() + rest_ms / 1000 > deadline:
                raise OperationRefusedError(f"Replay {replay_id} is being run by {self._known(replay_id).owner}.")
            time.sleep(min(rest_ms / 1000, 0.2))

    def renew(self, replay_id: str, owner: str) -> int:
        """Take or keep the lease; 0 if this owner has it, otherwise ms until it ends.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return int(self._lease(keys=[keys.replay(replay_id)], args=[owner, int(LEASE_S * 1000)]))

    def set_state(self, replay_id: str, state: ReplayState, reason: str = "") -> None:
        """Write down where a replay stands.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            self._client.hset(keys.replay(replay_id), mapping={"state": state.value, "reason": reason, "stop": ""})
            self._client.expire(keys.replay(replay_id), KEPT_S)

    def known(self, replay_id: str) -> ReplayStatus:
        """As ``status``.

        Raises:
            OperationRefusedError: there is none.
            StoreUnavailableError: Redis is away.
        """
        return self._known(replay_id)

    def _known(self, replay_id: str) -> ReplayStatus:
        status = self.status(replay_id)
        if status is None:
            raise OperationRefusedError(f"There is no replay {replay_id}; see sse-bridge dead replays.")
        return status

    def _now_ms(self) -> int:
        with store_errors():
            seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _log(
        self, action: str, replay_id: str, who: str, selection: Selection, numbers: dict[str, int], reason: str = ""
    ) -> None:
        words = f"replay {replay_id}: {selection}"
        log.append(self._client, log.LogEntry(who=who, action=action, selection=words, numbers=numbers, reason=reason))


class Run:
    """One process's turn at a replay, from taking the lease to giving it back."""

    def __init__(
        self,
        replays: Replays,
        client: redis.Redis,
        settings: Settings,
        registry: Registry,
        sender: TaskSender,
        replay_id: str,
        owner: str,
        patience_s: float,
    ) -> None:
        self._replays = replays
        self._client = client
        self._settings = settings
        self._registry = registry
        self._sender = sender
        self._id = replay_id
        self._owner = owner
        self._patience_s = patience_s
        self._status = replays.known(replay_id)
        self._dead = DeadLetters(client, settings)
        self._letters = Letters(client, settings)
        self._foresight = Foresight(client, settings, registry)
        self._staleness = Staleness(client, settings, self._foresight)
        self._supersedes = self._staleness.supersedes_at_all(registry)
        self._in_one_step = self._foresight.in_one_step
        self._send = client.register_script(script_text("replay_send"))
        self._return = client.register_script(script_text("replay_return"))
        self._leave = client.register_script(script_text("replay_leave"))
        self._collect = client.register_script(script_text("replay_collect"))
        self._resend = client.register_script(script_text("replay_resend"))
        self._allowance = 0.0
        self._allowed_at = self._renewed_at = self._outcome_at = time.monotonic()
        self._passed_over = 0

    # Before

    def prepare(self, *, resend: bool) -> None:
        """Take the snapshot if it is not taken; make a stopped replay begin its canary again."""
        if self._status.state is ReplayState.BUILDING:
            self._take_snapshot()
        if resend:
            self._take_back_sent()
        changes: dict[Any, Any] = {"state": ReplayState.RUNNING.value, "reason": "", "stop": ""}
        if self._status.state is ReplayState.STOPPED:
            changes["canary_sent"] = 0
        with store_errors():
            self._client.hset(keys.replay(self._id), mapping=changes)
        self._base = self._status = self._replays.known(self._id)

    def _take_back_sent(self) -> None:
        key_list = [
            keys.replay(self._id),
            keys.replay_pending(self._id),
            keys.replay_sent(self._id),
            keys.IN_REPLAY,
            keys.replay_unconfirmed(self._id),
        ]
        taken = STEP
        while taken:
            with store_errors():
                taken = self._resend(keys=key_list, args=[STEP])
            self._keep_lease()

    def _take_snapshot(self) -> None:
        pending = keys.replay_pending(self._id)
        for part in chunks(self._letters.ids(_selection_of(self._status)), STEP):
            with store_errors():
                # One score for all: Redis then orders by id, which for UUIDv7 is by time.
                self._client.zadd(pending, dict.fromkeys(part, 0))
            self._keep_lease()
        if self._supersedes:
            self._note_newest()
        with store_errors():
            total = self._client.zcard(pending)
            self._client.hset(keys.replay(self._id), mapping={"total": total, "state": ReplayState.READY.value})

    def _note_newest(self) -> None:
        """Of the letters that supersede each other, write down the newest."""
        newest_key = keys.replay_newest(self._id)
        start = 0
        while ids := self._pending_ids(start, STEP):
            newest = self._newest()
            self._staleness.note_newest(list(self._dead.get_many(ids).values()), newest)
            if newest:
                with store_errors():
                    self._client.hset(newest_key, mapping=dict[Any, Any](newest))
                    self._client.expire(newest_key, KEPT_S)
            start += STEP
            self._keep_lease()

    def _newest(self) -> dict[str, str]:
        if not self._supersedes:
            return {}
        with store_errors():
            values: Any = self._client.hgetall(keys.replay_newest(self._id))
        return {text(name): text(value) for name, value in values.items()}

    # The loop

    def go(
        self, on_progress: Callable[[ReplayStatus], None], should_stop: Callable[[], bool]
    ) -> tuple[ReplayState, str]:
        """Send and collect until there is a reason to end; the state to leave the replay in, and why."""
        newest = self._newest()
        while True:
            self._keep_lease()
            collected = self._collect_outcomes()
            self._status = self._replays.known(self._id)
            on_progress(self._status)
            ending = self._ending(should_stop())
            if ending is not None:
                return ending
            sent = self._send_some(self._room(), newest)
            if sent:
                self._outcome_at = time.monotonic()
            elif not collected:
                time.sleep(POLL_S)

    def _ending(self, asked: bool) -> tuple[ReplayState, str] | None:
        status = self._status
        brake = self._brake()
        if brake:
            return ReplayState.STOPPED, brake
        if not status.pending and not status.under_way:
            return ReplayState.DONE, ""
        if asked or self._stop_was_asked():
            return ReplayState.PAUSED, f"{status.pending} letters are not sent yet."
        if status.under_way and time.monotonic() - self._outcome_at > self._patience_s:
            return ReplayState.STALLED, (
                f"{status.under_way} letters were sent, and nothing became of them for {self._patience_s:g} s: see "
                "that a worker runs, then resume; with --resend if the broker lost them."
            )
        return None

    def _stop_was_asked(self) -> bool:
        with store_errors():
            return bool(self._client.hget(keys.replay(self._id), "stop"))

    def _brake(self) -> str:
        """Why the replay must stop; empty if it need not."""
        status, base = self._status, self._base
        if status.max_failures is None:
            return ""
        failed, succeeded = status.failed - base.failed, status.succeeded - base.succeeded
        # While the canary is out, its own size counts: what cannot be made good any more need not be awaited.
        of = max(failed + succeeded, status.canary or BRAKE_MIN)
        if failed > status.max_failures * of:
            return f"{failed} of {failed + succeeded} failed again; the limit is {status.max_failures:.0%}."
        return ""

    def _room(self) -> int:
        """How many letters may be sent now."""
        status = self._status
        room = min(WINDOW - status.under_way, STEP)
        if status.canary_sent < status.canary:
            room = min(room, status.canary - status.canary_sent)
        elif (
            status.canary
            and (status.failed + status.succeeded - self._base.failed - self._base.succeeded)
            < min(status.canary, status.total)
            and status.under_way
        ):
            return 0  # the canary's outcomes are awaited
        if status.rate:
            now = time.monotonic()
            self._allowance = min(self._allowance + status.rate * (now - self._allowed_at), max(1.0, status.rate * 0.2))
            self._allowed_at = now
            room = min(room, int(self._allowance))
        return max(0, min(room, status.pending))

    def _keep_lease(self) -> None:
        if time.monotonic() - self._renewed_at > LEASE_S / 5:
            self._renewed_at = time.monotonic()
            if self._replays.renew(self._id, self._owner):
                raise OperationRefusedError(f"Another process took over replay {self._id}.")

    # Sending

    def _send_some(self, room: int, newest: dict[str, str]) -> int:
        if not room:
            return 0
        ids = self._chosen(room)
        letters = self._dead.get_many(ids)
        found = {letter_id: self._foresight.whole_message(letter) for letter_id, letter in letters.items()}
        wholes = {letter_id: message for letter_id, message in found.items() if message is not None}
        sendable = self._sift([letter_id for letter_id in ids if letter_id not in wholes], letters, newest)
        sent = 0
        for task, queue, part in _messages(sendable, self._registry):
            sent += self._send_message(task, queue, part)
        self._allowance -= sent
        sent += self._return_messages([letters[letter_id] for letter_id in ids if letter_id in wholes], wholes)
        if self._status.canary_sent < self._status.canary:
            with store_errors():
                self._client.hincrby(keys.replay(self._id), "canary_sent", sent)
        return len(ids)

    def _chosen(self, room: int) -> list[str]:
        """The next letters; for a canary, letters from all over the snapshot."""
        pending = self._status.pending
        if self._status.canary_sent >= self._status.canary or room >= pending:
            return self._pending_ids(0, room)
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for place in range(room):
                rank = place * pending // room
                pipeline.zrange(keys.replay_pending(self._id), rank, rank)
            return [text(ids[0]) for ids in pipeline.execute() if ids]

    def _pending_ids(self, start: int, number: int) -> list[str]:
        with store_errors():
            ids: Any = self._client.zrange(keys.replay_pending(self._id), start, start + number - 1)
        return [text(letter_id) for letter_id in ids]

    def _sift(self, ids: Sequence[str], letters: dict[str, DeadLetter], newest: dict[str, str]) -> list[DeadLetter]:
        """Leave out what must not be sent, and say why."""
        left: dict[str, list[str]] = {}
        stale: dict[str, list[str]] = {}
        superseded = self._staleness.superseded(list(letters.values()), newest) if self._supersedes else {}
        for letter_id in ids:
            letter = letters.get(letter_id)
            if letter is None:
                # Gone, unless this release cannot read it.
                left.setdefault("unsendable" if self._exists(letter_id) else "gone", []).append(letter_id)
            elif self._foresight.mapping_of(letter) is None:
                left.setdefault("unsendable", []).append(letter_id)
            elif why := self._staleness.too_old(letter) or superseded.get(letter_id, ""):
                stale.setdefault(why, []).append(letter_id)
            elif letter_id in superseded:
                left.setdefault("undecided", []).append(letter_id)
        for why, letter_ids in stale.items():
            self._letters.discard_ids(letter_ids, reason=why, who=self._status.who, replay=self._id)
            left.setdefault("stale", []).extend(letter_ids)
        for field, letter_ids in left.items():
            self._leave_out(field, letter_ids)
        out = {letter_id for letter_ids in left.values() for letter_id in letter_ids}
        return [letters[letter_id] for letter_id in ids if letter_id not in out]

    def _exists(self, letter_id: str) -> bool:
        with store_errors():
            return bool(self._client.hexists(keys.DEAD_LETTERS, letter_id))

    def _leave_out(self, field: str, letter_ids: Sequence[str]) -> None:
        with store_errors():
            self._leave(keys=[keys.replay(self._id), keys.replay_pending(self._id)], args=[field, *letter_ids])

    def _send_message(self, task: str, queue: str, letters: list[DeadLetter]) -> int:
        """Send one message, without those of its letters that are gone or under way elsewhere; how many went."""
        while letters:
            message = TaskMessage(
                task=task, queue=queue, envelopes=[letter.envelope.encode() for letter in letters], replay=self._id
            )
            out = self._mark_and_push(message, [letter.letter_id for letter in letters])
            if not out:
                if not self._in_one_step:
                    self._send_elsewhere(message, letters)
                return len(letters)
            letters = [letter for letter in letters if letter.letter_id not in out]
        return 0

    def _return_messages(self, letters: Sequence[DeadLetter], messages: Mapping[str, WholeMessage]) -> int:
        """Put whole messages back on their queues, as far as the rate allows it; how many went."""
        returned = 0
        for letter in letters:
            if self._status.rate and self._allowance <= 0:
                break
            message = messages[letter.letter_id]
            if self._return_message(letter, message):
                self._allowance -= len(message.event_ids) // ID_BYTES
                returned += 1
            self._keep_lease()
        return returned

    def _return_message(self, letter: DeadLetter, message: WholeMessage) -> bool:
        """Put a whole message back; False if its letter is gone."""
        with store_errors():
            answer = self._return(
                keys=[
                    keys.replay(self._id),
                    keys.replay_pending(self._id),
                    keys.replay_sent(self._id),
                    keys.replay_returned(self._id),
                    keys.DEAD_INDEX,
                    keys.DEAD_LETTERS,
                    keys.DEAD_HEADS,
                    keys.DEAD_WEIGHTS,
                    keys.COUNTS,
                    keys.OPEN,
                    self._settings.broker_keyprefix + message.queue,
                ],
                args=[
                    self._owner,
                    letter.letter_id,
                    letter.raw,
                    message.book_id,
                    entry(message.task, message.queue, b""),
                    message.event_ids,
                    KEPT_S,
                ],
            )
        if text(answer) == "lease":
            raise OperationRefusedError(f"Another process took over replay {self._id}.")
        return text(answer) == "sent"

    def _mark_and_push(self, message: TaskMessage, letter_ids: list[str]) -> frozenset[str]:
        """Mark letters as sent, and send them if the broker is this server; or say which must be left out."""
        place = (
            self._settings.broker_keyprefix + message.queue if self._in_one_step else keys.replay_unconfirmed(self._id)
        )
        item = queue_item(message, announced=False) if self._in_one_step else b""
        with store_errors():
            answer = self._send(
                keys=[
                    keys.replay(self._id),
                    keys.replay_pending(self._id),
                    keys.replay_sent(self._id),
                    keys.IN_REPLAY,
                    keys.DEAD_INDEX,
                    place,
                ],
                args=[self._id, self._owner, item, *letter_ids],
            )
        if isinstance(answer, list):
            out = [text(letter_id) for letter_id in answer]
            busy = out[out.index("") + 1 :]
            if busy:
                self._leave_out("busy", busy)
            return frozenset(out)
        if text(answer) == "lease":
            raise OperationRefusedError(f"Another process took over replay {self._id}.")
        return frozenset()

    def _send_elsewhere(self, message: TaskMessage, letters: Sequence[DeadLetter]) -> None:
        self._sender.send([message])
        with store_errors():
            self._client.srem(keys.replay_unconfirmed(self._id), *(letter.letter_id for letter in letters))

    # Collecting

    def _collect_outcomes(self) -> int:
        """Look at some of what is under way; how many have an outcome now."""
        with store_errors():
            done, failed, open_ = self._collect(
                keys=[
                    keys.replay(self._id),
                    keys.replay_sent(self._id),
                    keys.IN_REPLAY,
                    keys.DEAD_INDEX,
                    keys.DEAD_HEADS,
                    keys.replay_unconfirmed(self._id),
                    keys.replay_returned(self._id),
                    keys.OPEN,
                ],
                args=[self._id, self._passed_over, STEP],
            )
        # A slow category must not hide the outcomes of the others.
        self._passed_over = self._passed_over + open_ if done + failed + open_ == STEP else 0
        if done + failed or not self._status.under_way:
            self._outcome_at = time.monotonic()
        return int(done + failed)


def _selection_of(status: ReplayStatus) -> Selection:
    return Selection.from_dict(status.selection)


def _messages(letters: Sequence[DeadLetter], registry: Registry) -> Iterator[tuple[str, str, list[DeadLetter]]]:
    """Letters by task, in messages of a bounded size, on the queues that the tasks have today."""
    by_task: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        by_task.setdefault(letter.task, []).append(letter)
    for task, of_task in by_task.items():
        mapping = registry.mapping_of_task(task)
        queue = registry.queue_of(mapping) if mapping else of_task[0].queue
        part: list[DeadLetter] = []
        size = 0
        for letter in of_task:
            if part and (len(part) == MESSAGE_MAX or size + len(letter.envelope) > MESSAGE_MAX_BYTES):
                yield task, queue, part
                part, size = [], 0
            part.append(letter)
            size += len(letter.envelope.encode())
        yield task, queue, part
