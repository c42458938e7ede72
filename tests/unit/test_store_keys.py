"""The names of keys and channels: what stands before them, and that nobody goes past that."""

import ast
from pathlib import Path
from uuid import UUID

import pytest

import bridge
from bridge.model.registry import EVERYONE, Topic, User
from bridge.redis_adapter.keyspace import Keyspace
from bridge.settings import Settings
from bridge.settings.topology import topology

USER = UUID("019c0000-0000-7000-8000-000000000001")
NAMES = [name for name in vars(Keyspace()) if name.isupper()]


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://h", 0),
        ("redis://h:6379/", 0),
        ("redis://h:6379/0", 0),
        ("rediss://u:p@h:6379/7", 7),
        ("redis://h/2?db=3", 3),
        ("unix:///run/redis/5", 0),
        ("unix:///run/redis.sock?db=4", 4),
        ("sentinel://a:26379/2;sentinel://b:26379/2", 2),
    ],
)
def test_the_database_is_read_as_redis_clients_read_it(url: str, database: int) -> None:
    assert topology(Settings(redis_url=url)).store.database == database


def test_a_user_that_is_called_as_a_topic_shares_nothing_with_it() -> None:
    user, topic = User("order:42"), Topic("order", int)(42)
    keys = Keyspace("p:", database=3)
    for name in (keys.channel, keys.stream, lambda one: keys.seen(one, USER)):
        assert name(user) != name(topic)
    for address in (user, topic, EVERYONE):
        assert keys.mark_of_message(keys.channel(address), str(USER)) == keys.seen(address, USER)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_the_prefix(name: str) -> None:
    plain, prefixed = getattr(Keyspace(), name), getattr(Keyspace("staging:"), name)
    assert prefixed == "staging:" + plain


def test_without_a_prefix_the_names_are_the_documented_ones() -> None:
    keys = Keyspace()
    assert keys.channel(User(USER)) == f"sse:user:{{{USER}}}"
    assert keys.BROADCAST_CHANNEL == "sse:broadcast"
    assert keys.seen(EVERYONE, USER) == f"sse:seen:{{sse:stream:broadcast}}:{USER}"
    order = Topic("order", int)(42)
    assert keys.channel(order) == "sse:topic:{order:42}"
    assert keys.stream(order) == "sse:stream:topic:{order:42}"
    assert keys.seen(order, USER) == f"sse:topic-seen:{{order:42}}:{USER}"
    assert keys.COUNTS == "bridge:counts"
    assert keys.redrive("r") == "bridge:replay:r"
    assert keys.booked("m") == "bridge:booked:m"


def test_only_channels_have_the_number_of_the_database() -> None:
    plain, other = Keyspace("p:"), Keyspace("p:", database=3)
    differing = {name for name in NAMES if getattr(plain, name) != getattr(other, name)}
    assert differing == {"BROADCAST_CHANNEL", "CONTROL_CHANNEL", "USER_CHANNEL", "TOPIC_CHANNEL"}
    assert other.BROADCAST_CHANNEL == "p:/3.sse:broadcast"


def test_the_settings_say_prefix_and_database() -> None:
    keys = Keyspace.of(Settings(broker_url="redis://h/1", redis_url="redis://h/2", prefix="x."))
    assert keys.BROADCAST_CHANNEL == "x./2.sse:broadcast"
    assert keys.COUNTS == "x.bridge:counts"


def test_the_broker_s_keys_have_the_same_prefix_unless_they_are_given_one() -> None:
    assert Settings(prefix="a:").queue_prefix == "a:"
    assert Settings(prefix="a:", broker_keyprefix="b:").queue_prefix == "b:"


def test_no_module_of_the_bridge_uses_names_without_a_prefix() -> None:
    folder = Path(bridge.__file__).parent
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            names = {alias.name for alias in node.names}
            past_the_prefix = node.module == "bridge.redis_adapter" and "keyspace" in names
            past_the_prefix |= node.module == "bridge.redis_adapter.keyspace" and bool(
                names - {"Keyspace", "seen_owner", "up_to_user"}
            )
            if past_the_prefix:
                found.append(f"{path.relative_to(folder)}:{node.lineno}")
    assert not found, "take the names from keyspace_of(client) or Keyspace.of(settings)"


def test_no_script_names_a_key_of_its_own() -> None:
    folder = Path(bridge.__file__).parent
    scripts = [*folder.rglob("*.lua")]
    assert scripts
    for path in scripts:
        code = "\n".join(line.partition("--")[0] for line in path.read_text(encoding="utf-8").splitlines())
        assert "sse:" not in code, path.name
        assert "bridge:" not in code, path.name
