"""Which topics a request asks for: read, or refused in a sentence before anything is asked about the client."""

from uuid import UUID

import pytest
from starlette.datastructures import Headers, QueryParams

from bridge import Registry, Topic
from bridge.catalogs.finance import REGISTRY
from bridge.gateway.request import UnknownTopicError, parse_request
from bridge.model.bounds import TOPICS_MAX
from bridge.model.registry import TopicAddress

order, room, tenant = Topic("order", int), Topic("room"), Topic("tenant", UUID)
WITH_TOPICS = Registry(
    event_types=REGISTRY.event_types,
    categories=REGISTRY.categories,
    events=REGISTRY.events,
    user_id=str,
    topics=[order, room, tenant],
)
TENANT = UUID("0190f0a1-0000-7000-8000-000000000001")


def topics(query: str, registry: Registry = WITH_TOPICS) -> tuple[TopicAddress, ...]:
    return parse_request(QueryParams(query), Headers(), registry).topics


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", []),
        ("topics=", []),
        ("topics=,%20,", []),
        ("topics=order:42", [order(42)]),
        ("topics=order:42&topics=room:lobby", [order(42), room("lobby")]),
        ("topics=order:42,order:7", [order(42), order(7)]),
        ("topics=%20order:42%20,%20order:7&topics=order:42", [order(42), order(7)]),
        (f"topics=tenant:{TENANT},order:1", [tenant(TENANT), order(1)]),
        (f"topics=tenant:{TENANT.hex.upper()}", [tenant(TENANT)]),
        ("topics=order:-7", [order(-7)]),
        ("categories=import&topics=order:1", [order(1)]),
    ],
)
def test_topics_come_repeated_and_comma_separated_each_once(query: str, asked: list[TopicAddress]) -> None:
    assert topics(query) == tuple(asked)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("topics=room:a,b", [room("a,b")]),
        ("topics=room:a,b&topics=room:c", [room("a,b"), room("c")]),
        ("topics=order:1,room:a,b", [order(1), room("a,b")]),
        ("topics=room:order:1", [room("order:1")]),
        ("topics=room:%C3%A4", [room("ä")]),
    ],
)
def test_a_key_that_is_a_text_may_hold_commas_and_is_taken_as_it_is(query: str, asked: list[TopicAddress]) -> None:
    assert topics(query) == tuple(asked)


def test_where_a_comma_may_be_meant_to_end_a_text_the_client_is_told_how_to_write_it() -> None:
    for query in ("topics=room:a,room:b", "topics=room:a,order:1"):
        with pytest.raises(UnknownTopicError, match="keys of room are texts and may hold commas: write topics= once"):
            topics(query)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("invoice:42", "there is no topic 'invoice' in this registry; there are order, room, tenant"),
        ("order", "'order' is no address"),
        ("order:", "what follows order: must be a whole number"),
        ("order:abc", "what follows order: must be a whole number"),
        ("order:042", "what follows order: must be a whole number"),
        ("order:*", "what follows order: must be a whole number"),
        ("room:", "what follows room: must be a text"),
        ("room:a b", "what follows room: must be a text"),
        ("room:{a}", "what follows room: must be a text"),
        ("room:a%0Ab", "what follows room: must be a text"),
        ("tenant:7", "what follows tenant: must be a UUID"),
        ("user:ann", "there are only topics"),
        ("everyone", "there are only topics"),
        ("Order:42", "there is no topic 'Order'"),
        ("*", "is no address"),
    ],
)
def test_what_is_no_topic_is_422_with_those_that_there_are(text: str, said: str) -> None:
    with pytest.raises(UnknownTopicError) as refused:
        topics(f"topics=order:1&topics={text}")
    assert said in str(refused.value)
    assert refused.value.status == 422
    assert refused.value.members["known"] == ["order:<int>", "room:<str>", "tenant:<UUID>"]


def test_a_catalog_without_topics_says_so() -> None:
    with pytest.raises(UnknownTopicError, match="none is declared"):
        topics("topics=order:42", REGISTRY)


def test_a_stream_has_so_many_topics_and_no_more() -> None:
    many = [f"order:{n}" for n in range(TOPICS_MAX + 1)]
    assert len(topics("topics=" + ",".join(many[:-1] + many[:3]))) == TOPICS_MAX
    with pytest.raises(UnknownTopicError, match=f"{TOPICS_MAX} for one stream at most, not {TOPICS_MAX + 1}"):
        topics("topics=" + ",".join(many))


def test_a_refusal_repeats_little_of_what_was_sent() -> None:
    with pytest.raises(UnknownTopicError) as refused:
        topics("topics=" + "x" * 30_000)
    assert len(str(refused.value)) + len(str(refused.value.members)) < 1_000
