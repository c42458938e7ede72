"""What a client of the gateway gets: live, replayed, reset, filtered; and what it does not get."""

import asyncio
import contextlib
import dataclasses
import json
from random import Random
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from bridge.model.events import SSEEventType
from bridge.settings import Settings
from tests.support.streams import SECRET, Served, Source, Stream, closing, until

UNKNOWN = '{"reason": "unknown_id"}'
TRIMMED = '{"reason": "trimmed"}'
NOT_RETAINED = '{"reason": "not_retained"}'


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


# Live


async def test_live_events_and_broadcasts_arrive_in_order_once_and_a_stranger_sees_only_broadcasts(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    mine = await Stream(served.url, user).open(browser)
    theirs = await Stream(served.url, uuid4()).open(browser)
    first = source.publish(user, 3)
    everybody = source.publish(None, 2)
    last = source.publish(user, 2)
    await mine.receives([*first, *everybody, *last])
    await theirs.receives(everybody)
    await closing(mine, theirs)


async def test_without_an_id_the_stream_starts_from_now(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    source.publish(user, 5)
    stream = await Stream(served.url, user).open(browser)
    await stream.receives(source.publish(user, 2))
    assert stream.resets == []
    await stream.close()


async def test_head_of_the_response_and_first_frame(served: Served, browser: httpx.AsyncClient, user: UUID) -> None:
    stream = await Stream(served.url, user).open(browser)
    assert stream.response is not None
    headers = stream.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    retry_ms = int(stream.frames[0].field("retry") or 0)
    assert 1000 <= retry_ms <= 3000
    await stream.close()


async def test_line_breaks_and_nul_in_a_payload_stay_one_data_line(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    hostile = "a\nid: 666\r\nevent: evil\rdata: x\n\n\u2028\u2029\u0085\x00b"
    stream = await Stream(served.url, user).open(browser)
    await stream.receives(source.publish(user, message=hostile))
    frame = stream.frames[-1]
    assert len(frame.text.split("\n")) == 3
    assert "\r" not in frame.text and "\x00" not in frame.text
    assert json.loads(frame.field("data") or "")["message"] == hostile
    await stream.close()


async def test_categories_are_filtered_live_and_in_replay(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    start = source.publish(user)[0]
    imported = source.publish(user, 2, event_type=SSEEventType.IMPORT_STARTED)
    source.publish(user, 2, event_type=SSEEventType.AI_RESPONSE_CHUNK)
    session = source.publish(user, event_type=SSEEventType.SECURITY_SESSION_NEW)
    path = "?categories=import,%20portfolio&categories=security"
    stream = await Stream(served.url, user, path=path, last_event_id=start).open(browser)
    source.publish(user, event_type=SSEEventType.AI_RESPONSE_COMPLETE)
    late = source.publish(user, event_type=SSEEventType.PORTFOLIO_BALANCE_UPDATED)
    await stream.receives([*imported, *session, *late])
    await stream.close()


async def test_a_type_of_a_newer_catalog_reaches_unfiltered_clients_only(
    served: Served, redis_client: redis.Redis, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    everything = await Stream(served.url, user).open(browser)
    filtered = await Stream(served.url, user, path="?categories=import").open(browser)
    new, illegal = str(uuid4()), str(uuid4())
    for event_id, name in ((new, "loan.approved"), (illegal, "evil\nid: 1")):
        message = {"event_id": event_id, "event_type": name, "data": {}, "position": "99-1"}
        message["position"] = f"{10**13}-{event_id == illegal:d}"
        redis_client.publish(f"sse:user:{{{user}}}", json.dumps(message))
    await everything.receives([new])
    await until(lambda: served.state.counters.events_unknown == 1)
    assert filtered.ids == []
    await closing(everything, filtered)


# Replay


@pytest.mark.parametrize("way", ["header", "query"])
async def test_what_was_missed_is_replayed_exactly(
    way: str, served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    last = source.publish(user, 3)[-1]
    missed = [*source.publish(user, 450), *source.publish(None, 250), *source.publish(user, 30)]
    stream = (
        Stream(served.url, user, last_event_id=last)
        if way == "header"
        else Stream(served.url, user, path=f"?last_event_id={last}")
    )
    await stream.open(browser)
    await stream.receives(missed)
    assert stream.resets == []
    await stream.close()


async def test_the_header_wins_over_the_query(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    ids = source.publish(user, 10)
    stream = await Stream(served.url, user, last_event_id=ids[7], path=f"?last_event_id={ids[1]}").open(browser)
    await stream.receives(ids[8:])
    await stream.close()


async def test_the_id_of_a_broadcast_resumes_both_streams(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    source.publish(user, 2)
    broadcast = source.publish(None)[0]
    missed = [*source.publish(user, 2), *source.publish(None, 1)]
    stream = await Stream(served.url, user, last_event_id=broadcast).open(browser)
    await stream.receives(missed)
    assert stream.resets == []
    await stream.close()


async def test_what_came_after_a_stream_without_events_is_replayed(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    source.publish(user)
    stream = await Stream(served.url, user).open(browser)
    await stream.close()
    missed = [*source.publish(user, 2), *source.publish(None)]
    again = await Stream(served.url, user, last_event_id=stream.frames[0].id).open(browser)
    await again.receives(missed)
    assert again.resets == []
    await again.close()


@pytest.mark.parametrize("given", ["nonsense", str(UUID(int=7)), "None", "x" * 2000])
async def test_an_unknown_id_gets_a_reset_and_then_what_is_retained(
    given: str, served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    kept = [*source.publish(user, 3), *source.publish(None)]
    stream = await Stream(served.url, user, last_event_id=given).open(browser)
    await stream.receives(kept)
    assert stream.resets == [UNKNOWN]
    assert stream.frames[0].event == "stream.reset" and stream.frames[0].field("retry")
    await stream.close()


async def test_the_id_of_somebody_elses_event_is_unknown(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    foreign = source.publish(uuid4())[0]
    stream = await Stream(served.url, user, last_event_id=foreign).open(browser)
    assert stream.resets == [UNKNOWN]
    await stream.close()


async def test_a_trimmed_id_gets_a_reset_and_then_what_is_retained(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    short = dataclasses.replace(settings, stream_maxlen=1)
    source = Source(short)
    with Served(short) as served:
        first = source.publish(user)[0]
        ids = source.publish(user, 250)
        stream = await Stream(served.url, user, last_event_id=first).open(browser)
        assert stream.resets == [TRIMMED]
        assert 0 < len(stream.ids) < 250 and stream.ids == ids[-len(stream.ids) :]
        await stream.close()
    source.close()


async def test_without_retention_an_id_gets_a_reset_and_the_stream_is_live(
    settings: Settings, browser: httpx.AsyncClient, user: UUID
) -> None:
    forgetful = dataclasses.replace(settings, stream_ttl_s=0)
    source = Source(forgetful)
    with Served(forgetful) as served:
        last = source.publish(user)[0]
        stream = await Stream(served.url, user, last_event_id=last).open(browser)
        assert stream.resets == [NOT_RETAINED]
        fresh = await Stream(served.url, user).open(browser)
        assert fresh.resets == []
        ids = source.publish(user, 3)
        await stream.receives(ids)
        await fresh.receives(ids)
        await closing(stream, fresh)
    source.close()


async def test_published_between_subscription_and_replay_arrives_once(
    served: Served, source: Source, browser: httpx.AsyncClient, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = source.publish(user)[0]
    missed = source.publish(user, 3)
    between: list[str] = []
    read = served.state._replay_reader.read

    async def publish_then_read(*args: object) -> object:
        if not between:
            between.extend(await asyncio.to_thread(source.publish, user, 2))
        return await read(*args)

    monkeypatch.setattr(served.state._replay_reader, "read", publish_then_read)
    stream = await Stream(served.url, user, last_event_id=last).open(browser)
    await stream.receives([*missed, *between])
    await stream.receives([*missed, *between, *source.publish(user)])
    await stream.close()


async def test_more_published_during_a_replay_than_the_queue_holds_is_read_again_not_cut(
    settings: Settings, browser: httpx.AsyncClient, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Served(dataclasses.replace(settings, gateway_queue_max=4)) as served:
        source = Source(settings)
        last = source.publish(user)[0]
        flood: list[str] = []
        read = served.state._replay_reader.read

        async def read_then_publish(*args: object) -> object:
            chapter = await read(*args)
            if not flood:
                flood.extend(await asyncio.to_thread(source.publish, user, 50))
                await asyncio.sleep(0.05)  # the hub gets its time
            return chapter

        monkeypatch.setattr(served.state._replay_reader, "read", read_then_publish)
        stream = await Stream(served.url, user, last_event_id=last).open(browser)
        await stream.receives(flood)
        assert served.state.counters.cut_too_slow == 0
        await stream.close()
        source.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_gap_and_no_repeat_over_random_disconnects(
    seed: int, served: Served, source: Source, browser: httpx.AsyncClient, user: UUID
) -> None:
    random = Random(seed)
    published: list[str] = source.publish(user)
    got: list[str] = list(published)
    done = False

    async def publish() -> None:
        nonlocal done
        for _ in range(150):
            to = random.choice([user, user, None])
            published.extend(await asyncio.to_thread(source.publish, to, random.randint(1, 12)))
            source.publish(uuid4())
            await asyncio.sleep(random.random() * 0.01)
        done = True

    publishing = asyncio.create_task(publish())
    connections = 0
    while not done or len(got) < len(published):
        connections += 1
        stream = await Stream(served.url, user, last_event_id=got[-1]).open(browser, live=False)
        enough = random.randint(0, 120)
        with contextlib.suppress(AssertionError):
            await until(lambda s=stream, e=enough: len(s.ids) >= e, timeout_s=random.random() * 0.3)
        await stream.close()
        got += stream.ids
        assert stream.resets == []
    await publishing
    assert connections > 5
    assert got == published, f"seed {seed}"
    await until(lambda: not served.state.sessions)


# Bad input


async def test_a_malformed_message_or_entry_ends_nobodys_stream(
    served: Served, source: Source, redis_client: redis.Redis, browser: httpx.AsyncClient, user: UUID
) -> None:
    stream = await Stream(served.url, user).open(browser)
    before = source.publish(user)
    for bad in (b"", b"{", b"\xff\xfe", b"[]", b'{"event_id":"x"}', b'"text"', b"9" * 5000):
        redis_client.publish(f"sse:user:{{{user}}}", bad)
        redis_client.publish("sse:broadcast", bad)
    redis_client.xadd(f"sse:stream:user:{{{user}}}", {"foreign": "entry"})
    redis_client.xadd("sse:stream:broadcast", {"event_id": "no uuid", "event_type": "a.b", "data": "{"})
    after = source.publish(user)
    await stream.receives([*before, *after])
    assert served.state.counters.messages_malformed == 14
    replayed = await Stream(served.url, user, last_event_id=before[0]).open(browser)
    await replayed.receives(after)
    assert served.state.counters.messages_malformed == 16
    await closing(stream, replayed)
