"""Who listens to what, and what Redis is told: also when they come and go faster than Redis answers."""

import asyncio
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.hub import Hearing, Subscriptions
from bridge.gateway.request import EncodedEvent
from bridge.model.registry import Address, TopicAddress, User
from tests.support.keys import BROADCAST_CHANNEL, UNPREFIXED
from tests.support.waiting import WAIT_S

ALICE, BOB = User(UUID(int=1)), User(UUID(int=2))
ORDER, ORG = TopicAddress("order", 42), TopicAddress("org", 7)
channel = UNPREFIXED.channel


class Someone:
    def __init__(self) -> None:
        self.losses = 0

    def offer(self, event: EncodedEvent) -> bool:
        return False

    def lose_touch(self) -> None:
        self.losses += 1


def linked() -> Subscriptions:
    subscriptions = Subscriptions(UNPREFIXED)
    subscriptions.link()
    subscriptions.next_command()
    subscriptions.confirm(BROADCAST_CHANNEL)
    return subscriptions


def test_one_subscription_serves_all_who_listen_to_a_user() -> None:
    subscriptions = linked()
    first, second = Someone(), Someone()
    hearing = subscriptions.join([ALICE], first)
    assert subscriptions.join([ALICE], second) == hearing
    assert subscriptions.next_command() == ("SUBSCRIBE", channel(ALICE))
    assert subscriptions.next_command() is None
    subscriptions.leave(hearing, first)
    assert subscriptions.next_command() is None
    subscriptions.leave(hearing, second)
    subscriptions.leave(hearing, second)
    assert subscriptions.next_command() == ("UNSUBSCRIBE", channel(ALICE))
    assert subscriptions.next_command() is None
    assert subscriptions.members_of(BROADCAST_CHANNEL) == ()


def test_a_room_is_heard_once_redis_confirmed_it() -> None:
    subscriptions = linked()
    hearing = subscriptions.join([ALICE], Someone())
    assert not subscriptions.hears(hearing)
    subscriptions.confirm(channel(ALICE))
    assert subscriptions.hears(hearing)


def test_a_member_with_topics_is_among_the_members_of_each_and_hears_once_all_are_confirmed() -> None:
    subscriptions = linked()
    member, other = Someone(), Someone()
    hearing = subscriptions.join([ALICE, ORDER, ORG], member)
    assert channels_of(hearing) == {channel(ALICE), channel(ORDER), channel(ORG), BROADCAST_CHANNEL}
    assert subscriptions.next_command() == ("SUBSCRIBE", channel(ALICE), channel(ORDER), channel(ORG))
    for address in (ORG, ALICE):
        subscriptions.confirm(channel(address))
        assert not subscriptions.hears(hearing)
    subscriptions.confirm(channel(ORDER))
    assert subscriptions.hears(hearing)
    assert subscriptions.join([BOB, ORDER], other) != hearing
    assert subscriptions.next_command() == ("SUBSCRIBE", channel(BOB))
    assert set(subscriptions.members_of(channel(ORDER))) == {member, other}
    assert subscriptions.members_of(channel(ORG)) == (member,)
    assert (subscriptions.listeners(ALICE.id), subscriptions.listeners(BOB.id)) == (1, 1)
    subscriptions.leave(hearing, member)
    assert subscriptions.next_command() == ("UNSUBSCRIBE", channel(ALICE), channel(ORG))
    assert subscriptions.members_of(channel(ORDER)) == (other,)


def test_a_user_who_is_called_as_a_topic_is_another_address() -> None:
    subscriptions = linked()
    member = Someone()
    subscriptions.join([User("order:42")], member)
    assert subscriptions.members_of(channel(TopicAddress("order", 42))) == ()


def test_the_confirmation_of_an_ended_subscription_confirms_nothing() -> None:
    subscriptions = linked()
    gone = Someone()
    subscriptions.leave(subscriptions.join([ALICE], gone), gone)
    hearing = subscriptions.join([ALICE], Someone())
    sent = [subscriptions.next_command() for _ in range(3)]
    assert [command[0] for command in sent if command] == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
    subscriptions.confirm(channel(ALICE))
    assert not subscriptions.hears(hearing)
    subscriptions.confirm(channel(ALICE))
    assert subscriptions.hears(hearing)


def test_a_lost_connection_is_told_to_everybody_and_the_next_one_subscribes_anew() -> None:
    subscriptions = linked()
    alice, bob = Someone(), Someone()
    hearing = subscriptions.join([ALICE], alice)
    subscriptions.join([BOB], bob)
    subscriptions.confirm(channel(ALICE))
    subscriptions.unlink()
    assert (alice.losses, bob.losses) == (1, 1)
    assert not subscriptions.hears(hearing)
    assert subscriptions.next_command() is None
    late = subscriptions.join([User(UUID(int=3))], Someone())
    subscriptions.link()
    command = subscriptions.next_command()
    assert command is not None and command[0] == "SUBSCRIBE"
    assert set(command[1:]) == {channel(User(UUID(int=n))) for n in (1, 2, 3)} | {BROADCAST_CHANNEL}
    for name in command[1:]:
        subscriptions.confirm(name)
    assert subscriptions.hears(hearing) and subscriptions.hears(late)


async def test_waiting_for_a_room_ends_when_both_channels_are_heard() -> None:
    subscriptions = Subscriptions(UNPREFIXED)
    hearing = subscriptions.join([ALICE], Someone())
    waiting = asyncio.create_task(subscriptions.wait_until_heard(hearing))
    subscriptions.link()
    subscriptions.confirm(channel(ALICE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    subscriptions.confirm(BROADCAST_CHANNEL)
    await asyncio.wait_for(waiting, WAIT_S)


class FakeRedis:
    """Carries out commands in order, and answers later."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.answers: list[str] = []

    def take(self, command: tuple[str, ...]) -> None:
        verb, *channels = command
        for channel in channels:
            if verb == "SUBSCRIBE":
                self.subscribed.add(channel)
                self.answers.append(channel)
            else:
                self.subscribed.discard(channel)


class World:
    """Subscriptions, a Redis and members, moved by steps."""

    def __init__(self) -> None:
        self.subscriptions, self.redis = Subscriptions(UNPREFIXED), FakeRedis()
        self.inside: list[tuple[Hearing, Someone]] = []
        self.up = False
        self.steps = {
            "join a": lambda: self.join(ALICE),
            "join b": lambda: self.join(BOB),
            "join a with topics": lambda: self.join(ALICE, ORDER, ORG),
            "join b with a topic": lambda: self.join(BOB, ORG),
            "leave": self.leave,
            "send": self.send,
            "answer": self.answer,
            "cut": self.cut,
            "link": self.link,
        }

    def join(self, *addresses: Address) -> None:
        member = Someone()
        self.inside.append((self.subscriptions.join(addresses, member), member))

    def leave(self) -> None:
        if self.inside:
            self.subscriptions.leave(*self.inside.pop(0))

    def send(self) -> bool:
        command = self.subscriptions.next_command()
        if command:
            self.redis.take(command)
        return command is not None

    def answer(self) -> bool:
        if self.redis.answers:
            self.subscriptions.confirm(self.redis.answers.pop(0))
        return bool(self.redis.answers)

    def cut(self) -> None:
        if self.up:
            self.up, self.redis = False, FakeRedis()
            self.subscriptions.unlink()

    def link(self) -> None:
        if not self.up:
            self.up = True
            self.subscriptions.link()


def channels_of(hearing: Hearing) -> set[str]:
    return {subscription.channel for subscription in hearing}


@settings(max_examples=200)
@given(st.lists(st.sampled_from(sorted(World().steps)), max_size=60))
def test_what_counts_as_heard_is_subscribed_whatever_the_order(steps: list[str]) -> None:
    world = World()
    for step in steps:
        world.steps[step]()
        for hearing, _ in world.inside:
            # Redis carries out what was sent in order, so nothing unsent may end what counts as heard.
            assert not world.subscriptions.hears(hearing) or channels_of(hearing) <= world.redis.subscribed
    world.link()
    while world.send() or world.answer() or world.redis.answers:
        pass
    assert world.redis.subscribed == set(world.subscriptions.channels)
    assert all(world.subscriptions.hears(hearing) for hearing, _ in world.inside)
    while world.inside:
        world.leave()
    assert world.subscriptions.channels == (BROADCAST_CHANNEL,)
