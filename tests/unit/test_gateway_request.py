"""What a client asks for: read, or refused in a sentence."""

from uuid import UUID

import pytest
from starlette.datastructures import Headers, QueryParams

from bridge.catalogs.finance import REGISTRY
from bridge.gateway.refusal import RequestRefusedError, problem
from bridge.gateway.request import EncodedEvent, StreamRequest, parse_request
from bridge.model.position import START, Position

AN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ANOTHER_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")


def parse(query: str = "", **headers: str) -> StreamRequest:
    return parse_request(QueryParams(query), Headers(headers), REGISTRY)


def test_nothing_asked_means_everything_from_now() -> None:
    assert parse() == StreamRequest(wanted=[], resumes=False, last_event_id=None)


@pytest.mark.parametrize(
    ("query", "categories"),
    [
        ("categories=import", {"import"}),
        ("categories=import,ai", {"import", "ai"}),
        ("categories=import&categories=ai", {"import", "ai"}),
        ("categories=import,%20ai%20,,&categories=security", {"import", "ai", "security"}),
        ("categories=", None),
        ("categories=,%20,", None),
    ],
)
def test_categories_come_repeated_and_comma_separated(query: str, categories: set[str] | None) -> None:
    assert parse(query).wanted == ([(0, frozenset(categories))] if categories else [])


@pytest.mark.parametrize(
    "query", ["categories=nonsense", "categories=IMPORT", "categories=import,nonsense", "categories=%00"]
)
def test_an_unknown_category_is_refused_with_the_known_ones(query: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        parse(query)
    assert refused.value.status == 422
    assert refused.value.members["known"] == [category.value for category in REGISTRY.categories]


def test_a_refusal_repeats_little_of_what_was_sent() -> None:
    with pytest.raises(RequestRefusedError) as refused:
        parse("categories=" + ",".join(f"{n}{'x' * 5000}" for n in range(100)))
    assert len(problem(refused.value).body) < 3000


def test_the_header_wins_over_the_query() -> None:
    asked = parse(f"last_event_id={AN_ID}", **{"last-event-id": str(ANOTHER_ID)})
    assert asked.last_event_id == ANOTHER_ID
    assert parse(f"last_event_id={AN_ID}", **{"last-event-id": " "}).last_event_id == AN_ID


@pytest.mark.parametrize("given", ["nonsense", "None", "0", str(AN_ID)[:-1], "*"])
def test_a_malformed_id_still_means_that_the_client_resumes(given: str) -> None:
    asked = parse(f"last_event_id={given}")
    assert (asked.resumes, asked.last_event_id) == (True, None)


def test_types_nobody_knows_are_for_clients_without_a_filter() -> None:
    unknown = EncodedEvent(START, [None], b"")
    assert parse().wants(unknown)
    assert not parse("categories=import").wants(unknown)


def test_a_position_is_taken_where_an_id_is() -> None:
    assert parse("last_event_id=17-3").after == Position("17-3")
    assert parse(**{"Last-Event-ID": "0-0"}).after == Position("0-0")


@pytest.mark.parametrize(
    "given", ["17", "17-", "-3", "a-b", f"{2**64}-0", f"{2**64 - 1}-{2**64 - 1}", str(AN_ID), "9" * 5000]
)
def test_what_redis_would_not_take_for_a_position_is_none(given: str) -> None:
    asked = parse(**{"Last-Event-ID": given})
    assert asked.after is None
    assert asked.resumes


@pytest.mark.parametrize(
    "name",
    [
        "last_event_id",
        "lastEventId",
        "lastEventID",
        "Last-Event-ID",
        "last-event-id",
        "LAST_EVENT_ID",
        "evs_last_event_id",
    ],
)
def test_each_clients_own_name_for_where_it_stopped_is_read(name: str) -> None:
    assert parse(f"{name}={AN_ID}").last_event_id == AN_ID
    assert parse(f"{name}={AN_ID}", **{"last-event-id": str(ANOTHER_ID)}).last_event_id == ANOTHER_ID


def test_of_several_the_last_that_says_something_counts() -> None:
    assert parse(f"lastEventId={AN_ID}&Last-Event-ID={ANOTHER_ID}").last_event_id == ANOTHER_ID
    assert parse(f"last_event_id={AN_ID}&lastEventId=").last_event_id == AN_ID


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("category", "categories"),
        ("Categories", "categories"),
        ("categories[]", "categories"),
        ("catagories", "categories"),
        ("event_type", "categories"),
        ("topic", "topics"),
        ("Topics", "topics"),
        ("topics[]", "topics"),
        ("topcis", "topics"),
        ("channel", "topics"),
        ("rooms", "topics"),
        ("cat", "categories"),
        ("since", "last_event_id"),
        ("cursor", "last_event_id"),
        ("lastId", "last_event_id"),
        ("event_id", "last_event_id"),
        ("lastEventIds", "last_event_id"),
    ],
)
def test_a_parameter_that_was_meant_to_be_ours_is_refused_with_its_name(name: str, meant: str) -> None:
    with pytest.raises(RequestRefusedError, match=f"did you mean '{meant}'") as refused:
        parse(f"{name}=import")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "query",
    [
        "_=1700000000",
        "authorizationToken=x",
        "utm_source=mail",
        "t=1",
        "v=2",
        "user_id=7",
        "fbclid=x",
        "x" * 5000 + "=1",
    ],
)
def test_what_caches_and_polyfills_add_is_ignored(query: str) -> None:
    assert parse(query) == StreamRequest(wanted=[])
