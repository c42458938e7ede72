"""The live channel: what is published is heard once and in order while it is subscribed, and every loss is noticed."""

from uuid import UUID

import pytest

from bridge.model.errors import StoreError
from bridge.model.event_log import Heard
from bridge.model.events.sse_event import read_message
from bridge.model.position import START
from bridge.model.registry import User
from bridge.ports import LiveChannel
from tests.contract.conftest import Open
from tests.support.telling import OTHER, USER, event, name_of, publish, read_all
from tests.support.waiting import WAIT_S


async def heard(live: LiveChannel, number: int) -> list[Heard]:
    """The next so many things that are said."""
    found = [await live.hear(WAIT_S) for _ in range(number)]
    return [one for one in found if one is not None]


async def test_what_is_published_after_the_confirmation_is_heard_once_in_order(opened: Open) -> None:
    adapter = await opened()
    own, everybodys = adapter.channels.channel(User(USER)), adapter.channels.BROADCAST_CHANNEL
    live = adapter.live()
    await live.open()
    publish(adapter.publisher, event())
    await live.send("SUBSCRIBE", own, everybodys)
    assert await heard(live, 2) == [Heard(own, None), Heard(everybodys, None)]
    told = [event(), event(None), event(OTHER), event()]
    publish(adapter.publisher, *told)
    publish(adapter.publisher, *told)
    messages = await heard(live, 3)
    assert [one.channel for one in messages] == [own, everybodys, own]
    events, _ = await read_all(adapter.event_log, START)
    assert [read_message(one.message or b"") for one in messages] == events[1:]
    assert [one.event_id for one in events[1:]] == [name_of(one) for one in told if one.user_id != OTHER]
    assert await live.hear(0.05) is None
    await live.close()


async def test_what_was_unsubscribed_is_heard_no_more_and_a_ping_is_answered(opened: Open) -> None:
    adapter = await opened()
    own = adapter.channels.channel(User(USER))
    live = adapter.live()
    await live.open()
    await live.send("SUBSCRIBE", own, adapter.channels.BROADCAST_CHANNEL)
    await heard(live, 2)
    await live.send("UNSUBSCRIBE", own)
    await live.send("PING")
    while (answer := await live.hear(0.5)) is not None:
        assert answer.message is None
    publish(adapter.publisher, event(), event(None))
    (message,) = await heard(live, 1)
    assert message.channel == adapter.channels.BROADCAST_CHANNEL and message.message
    await live.close()


async def test_a_connection_that_is_cut_says_so_and_never_mends_itself(opened: Open) -> None:
    adapter = await opened()
    own = adapter.channels.channel(User(USER))
    live = adapter.live()
    await live.open()
    await live.send("SUBSCRIBE", own)
    await heard(live, 1)
    adapter.cut()
    for _ in range(2):
        with pytest.raises(StoreError):
            await live.hear(WAIT_S)
    await live.close()
    await live.close()
    publish(adapter.publisher, event())
    again = adapter.live()
    await again.open()
    await again.send("SUBSCRIBE", own)
    assert await heard(again, 1) == [Heard(own, None)]
    assert await again.hear(0.05) is None, "what was published in between is in the log alone"
    await again.close()


async def test_a_log_vouches_for_what_it_knows_and_begins_anew_when_it_was_set_back(opened: Open) -> None:
    adapter = await opened()
    own = adapter.channels.channel(User(USER))
    live = adapter.live()
    await live.open()
    await live.send("SUBSCRIBE", own)
    await heard(live, 1)
    publish(adapter.publisher, event())
    (said,) = await heard(live, 1)
    await live.close()
    assert said.message is not None
    assert await adapter.event_log.vouch(own, said.message)
    position = read_message(said.message).position
    unheard = said.message.replace(read_message(said.message).event_id.encode(), str(UUID(int=1)).encode())
    assert not await adapter.event_log.vouch(own, unheard)
    assert not (await adapter.event_log.read([User(USER)], position)).complete
    assert (await adapter.event_log.now()).horizon > position


async def test_a_channel_that_is_away_says_so(opened: Open) -> None:
    adapter = await opened(away=True)
    live = adapter.live()
    with pytest.raises(StoreError):
        await live.open()
    await live.close()
