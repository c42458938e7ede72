"""Every script that a process runs, run once on scratch keys: what no list of rights tells shows here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import redis

from bridge.model.events import SSEEvent, SSEEventType
from bridge.model.publishing import AddressedEvent, Delivery
from bridge.model.registry import EVERYONE, TopicAddress, User
from bridge.redis_adapter.acl_rights import Scratch
from bridge.redis_adapter.keyspace import Keyspace, up_to_user
from bridge.redis_adapter.script import Call, Words, script
from bridge.redis_adapter.settler import SettleCall
from bridge.settings import Process, Settings, unjudged

_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_RECORD = f"bridge.Check bridge.check\n{UUID(_ID).bytes.decode('latin-1')}"

_CALLS: Mapping[str, Words] = {
    "beat": ("check", "{}", 1000, 0, 10, "check"),
    "book": (_ID, _RECORD, 1, 60),
    "bury": (10, 1000, 60_000, "", "0", "", "0", _ID, "{}", "{}"),
    "dead_page": ("new", "", "", 0, "+inf", 10, 10, "head"),
    "discard": (10, "", _ID, "{}"),
    "gateway": ("check", 0, 1000, "check", 1),
    "log": (10, "check", "check"),
    "look": (),
    "note_queues": (10, "check"),
    "now": (),
    "read": ("0-0", 10, 60, 0, 1024, 1024),
    "redrive_collect": ("check", 0, 10),
    "redrive_lease": ("check", 1000),
    "redrive_leave": ("check", _ID),
    "redrive_resend": (10,),
    "redrive_return": ("check", _ID, "{}", "", "", "", 60),
    "redrive_send": ("check", "check", "", _ID),
    "redrive_unfold": ("check", _ID, 10, 1000, _ID, "{}", "{}"),
    "report": (10, "check", '"check":1}'),
    "requeue": ("check", "", ""),
    "retry_add": (10, "", "", "0", _ID, 1, 1000, "{}"),
    "retry_claim": (1000, 10),
    "retry_confirm": (0, 1000, _ID),
    "retry_queues": (0, 10),
    "retry_touch": (1000, _ID),
    "send": (1, 0, _ID, _RECORD, 1, 1, "{}"),
    "vouch": ("1-0",),
    "ticket": ("{}", 60, 10, 0, "check"),
    "withdraw": ("check", 60, 10, "check"),
    "write_off": (10, "check", "check"),
    "claim": (1, "check:", "check"),
    "claimed": (0, 10),
    "merge": (10,),
    "restore": (3600, 10, 0, "check:"),
}
"""Script → arguments with which it does what it can."""

_OPERATORS = (
    "bury", "dead_page", "discard", "log", "look", "now", "read", "redrive_collect", "redrive_lease", "redrive_leave",
    "redrive_resend", "redrive_return", "redrive_send", "redrive_unfold", "retry_touch", "retry_claim", "retry_queues",
    "withdraw", "write_off",
)  # fmt: skip
_SCRIPTS: Mapping[Process, Sequence[str]] = {
    "producer": ("send", "report", "note_queues"),
    "worker": (
        "beat", "book", "bury", "retry_add", "retry_claim", "retry_confirm", "send", "settle", "now", "note_queues",
    ),
    "gateway": ("now", "read", "vouch", "gateway", "ticket"),
    "ops": _OPERATORS,
    "cli": _OPERATORS,
}  # fmt: skip
_OF_QUEUES: Mapping[Process, Sequence[str]] = {
    "producer": ("send",),
    "worker": ("send", "claim", "claimed", "merge", "restore"),
    "gateway": (),
    "ops": ("claimed", "merge", "requeue"),
    "cli": ("claimed", "merge", "requeue"),
}


def scripts_of(process: Process, *, on_broker: bool, one_server: bool) -> list[str]:
    """The scripts that a process runs on a server.

    ``on_broker``: it is a broker that is another Redis than the store; ``one_server``: it is both.
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
            call, written = _settling(scratch, settings) if name == "settle" else (_call(name, scratch), ())
            used.update(call.keys, written)
            script(name).send(client, call)
    finally:
        for key in sorted(used):
            client.delete(key)


def _call(name: str, scratch: Scratch) -> Call:
    names = script(name).key_names
    keys = {one: f"{scratch.root}{name}:{one}" for one in names}
    return Call(script(name).keys(None, f"{scratch.root}{name}:more", **keys), _CALLS[name])


def _settling(scratch: Scratch, settings: Settings) -> tuple[Call, Sequence[str]]:
    """Publish events to a user, everybody and a topic, on channels without subscribers; and what else it writes."""
    there = unjudged(Settings, settings, prefix=scratch.root)
    names, user = Keyspace.of(there), UUID(_ID)
    event = SSEEvent(
        event_type=SSEEventType.IMPORT_STARTED, user_id=user, data={}, event_id=user, occurred_at=datetime.now(UTC)
    )
    told = (User(user), EVERYONE, TopicAddress("check", user))
    addressed = [AddressedEvent(event=event, payload=b"{}", user_id=None, addresses=(one,)) for one in told]
    delivery = Delivery(event_type="check", events=addressed, skipped=[_ID])
    keys, arguments = SettleCall(there).arguments([delivery])
    channels = (names.BROADCAST_CHANNEL, up_to_user(names.USER_CHANNEL), up_to_user(names.TOPIC_CHANNEL))
    written = [name for one in told for name in (names.stream(one), names.seen(one, user))]
    return Call(keys, [scratch.channel if one in channels else one for one in arguments]), written
