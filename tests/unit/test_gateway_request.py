"""What a client asks for: read, or refused in a sentence."""

from uuid import UUID

import pytest
from starlette.datastructures import Headers, QueryParams

from bridge.gateway.refusal import RequestRefusedError, problem
from bridge.gateway.request import StreamRequest, parse_request
from bridge.registry import REGISTRY
from bridge.store import Position

AN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ANOTHER_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")


def parse(query: str = "", **headers: str) -> StreamRequest:
    return parse_request(QueryParams(query), Headers(headers), REGISTRY)


def test_nothing_asked_means_everything_from_now() -> None:
    assert parse() == StreamRequest(categories=None, resumes=False, last_event_id=None)


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
    assert parse(query).categories == (frozenset(categories) if categories else None)


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
    assert parse().wants(None)
    assert not parse("categories=import").wants(None)


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
