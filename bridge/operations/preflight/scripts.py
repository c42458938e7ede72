"""Every script that a process runs, run once on scratch keys: what no list of rights tells shows here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import redis

from bridge.model.events import SSEEvent, SSEEventType
from bridge.operations.preflight.scratch import Scratch, changed
from bridge.redis_adapter import Delivery, Parcel
from bridge.redis_adapter.client import script_text
from bridge.redis_adapter.keyspace import Keyspace
from bridge.redis_adapter.settle import SettleCall
from bridge.settings import Process, Settings

_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_RECORD = f"bridge.Check bridge.check\n{UUID(_ID).bytes.decode('latin-1')}"

_CALLS: Mapping[str, tuple[int, Sequence[str | int]]] = {
    "beat": (3, ("check", "{}", 1000, 0, 10, "check")),
    "book": (3, (_ID, _RECORD, 1, 60)),
    "bury": (10, (10, 60_000, "", "0", "", "0", 1000, _ID, "{}", "{}")),
    "dead_page": (3, ("new", "", "", 0, "+inf", 10, 10, "head")),
    "discard": (9, (10, "", _ID, "{}")),
    "gateway": (3, ("check", 0, 1000, "check", 1)),
    "log": (1, (10, "check", "check")),
    "look": (1, ()),
    "note_queues": (1, (10, "check")),
    "now": (2, ()),
    "read": (5, ("0-0", 10, 60, 0, 1024, 1024)),
    "replay_collect": (8, ("check", 0, 10)),
    "replay_lease": (1, ("check", 1000)),
    "replay_leave": (2, ("check", _ID)),
    "replay_resend": (5, (10,)),
    "replay_return": (11, ("check", _ID, "{}", "", "", "", 60)),
    "replay_send": (6, ("check", "check", "", _ID)),
    "replay_unfold": (10, ("check", _ID, 10, 1000, _ID, "{}", "{}")),
    "report": (1, (10, "check", '"check":1}')),
    "requeue": (3, ("check", "", "")),
    "retry_add": (7, (10, "", "", "0", _ID, 1, 1000, "{}")),
    "retry_claim": (2, (1000, 10)),
    "retry_confirm": (1, (0, 1000, _ID)),
    "retry_queues": (2, (0, 10)),
    "retry_touch": (2, (1000, _ID)),
    "send": (5, (1, 0, _ID, _RECORD, 1, 1, "{}")),
    "vouch": (3, ("1-0",)),
    "write_off": (3, (10, "check", "check")),
    "claim": (4, (1, "check:", "check")),
    "claimed": (1, (0, 10)),
    "merge": (2, (10,)),
    "restore": (3, (3600, 10, 0, "check:")),
}
"""Script → how many keys it has, and arguments with which it does what it can."""

_OPERATORS = (
    "bury", "dead_page", "discard", "log", "look", "now", "read", "replay_collect", "replay_lease", "replay_leave",
    "replay_resend", "replay_return", "replay_send", "replay_unfold", "retry_touch", "retry_claim", "retry_queues",
    "write_off",
)  # fmt: skip
_SCRIPTS: Mapping[Process, Sequence[str]] = {
    "producer": ("send", "report", "note_queues"),
    "worker": (
        "beat",
        "book",
        "bury",
        "retry_add",
        "retry_claim",
        "retry_confirm",
        "send",
        "settle",
        "now",
        "note_queues",
    ),
    "gateway": ("now", "read", "vouch", "gateway"),
    "ops": _OPERATORS,
    "cli": _OPERATORS,
}
_OF_QUEUES: Mapping[Process, Sequence[str]] = {
    "producer": ("send",),
    "worker": ("send", "claim", "claimed", "merge", "restore"),
    "gateway": (),
    "ops": ("claimed", "merge", "requeue"),
    "cli": ("claimed", "merge", "requeue"),
}


def scripts_of(process: Process, *, on_broker: bool, one_server: bool) -> list[str]:
    """The scripts that a process runs on a server.

    Args:
        process: which.
        on_broker: of a broker that is another Redis than the store.
        one_server: broker and store are one.
    """
    if on_broker:
        return list(_OF_QUEUES[process])
    return list(dict.fromkeys([*_SCRIPTS[process], *(_OF_QUEUES[process] if one_server else [])]))


def run_scripts(client: redis.Redis, names: Sequence[str], scratch: Scratch, settings: Settings) -> None:
    """Run scripts once each, and remove what they wrote.

    Raises:
        redis.RedisError: one does not run on this server.
    """
    used: set[str] = set()
    try:
        for name in names:
            keys, arguments = _settling(scratch, settings) if name == "settle" else _call(name, scratch)
            used |= set(keys)
            used |= set(_written_by_settle(scratch, settings)) if name == "settle" else set()
            client.register_script(script_text(name))(keys=list(keys), args=list(arguments))
    finally:
        for key in sorted(used):
            client.delete(key)


def _call(name: str, scratch: Scratch) -> tuple[Sequence[str], Sequence[str | int | bytes]]:
    number, arguments = _CALLS[name]
    return [f"{scratch.root}{name}:{at}" for at in range(1, number + 1)], arguments


def _settling(scratch: Scratch, settings: Settings) -> tuple[Sequence[str], Sequence[str | int | bytes]]:
    """Publish one event to a user and one to everybody, on channels that nobody hears."""
    event = SSEEvent(
        event_type=SSEEventType.IMPORT_STARTED,
        user_id=UUID(_ID),
        data={},
        event_id=UUID(_ID),
        occurred_at=datetime.now(UTC),
    )
    parcels = [Parcel(event=event, payload=b"{}", user_id=user_id) for user_id in (event.user_id, None)]
    call = SettleCall(changed(settings, prefix=scratch.root))
    keys, arguments = call.arguments([Delivery(event_type="check", parcels=parcels, skipped=[_ID])])
    own = Keyspace(scratch.root)
    channels = {
        own.BROADCAST_CHANNEL: scratch.channel,
        own.USER_CHANNEL: f"{scratch.channel}%s",
        Keyspace.of(changed(settings, prefix=scratch.root)).BROADCAST_CHANNEL: scratch.channel,
        Keyspace.of(changed(settings, prefix=scratch.root)).USER_CHANNEL: f"{scratch.channel}%s",
    }
    return keys, [channels.get(one, one) if isinstance(one, str) else one for one in arguments]


def _written_by_settle(scratch: Scratch, settings: Settings) -> Iterator[str]:
    keys = Keyspace.of(changed(settings, prefix=scratch.root))
    user = UUID(_ID)
    yield from (keys.user_stream(user), keys.user_seen(user, user), keys.broadcast_seen(user))
