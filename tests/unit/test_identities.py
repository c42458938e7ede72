"""Users of each kind of ids in what is pure: events, envelopes' users, tokens, filters, pages of documents."""

import json
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import jwt
import pytest
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from bridge import SSEEvent
from bridge.cli.documents import describe_registry, events_page
from bridge.gateway.auth import DevelopmentAuthenticator, authenticator
from bridge.gateway.refusal import RequestRefusedError
from bridge.model.errors import SettingsError, UnauthorizedError
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Skipped
from bridge.model.registry import Registry, RetryPolicy, Topic
from bridge.model.registry.identifiers import INTS, TEXTS, UUIDS, IdType, user_in
from bridge.model.registry.identity import identity_of
from bridge.model.registry.metadata import attribute_returned
from bridge.ops.page_context import read_selection
from bridge.settings import Settings
from tests.support.identities import Type, by_name, by_number, by_uuid, names, numbers, uuids

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
SECRET = "a secret of at least thirty-two bytes"
EACH = pytest.mark.parametrize(
    ("registry", "classes", "user", "wrong"),
    [
        (numbers, by_number, 2**63 - 1, 2**63),
        (names, by_name, 'a"b\\c', "a b"),
        (uuids, by_uuid, USER, None),
    ],
    ids=["int", "str", "UUID"],
)


def run(registry: Registry, event: Any) -> Any:
    pipeline = Pipeline(registry, retry=RetryPolicy(), event_max_bytes=65_536, random=lambda: 0.0)
    mapping = registry.by_class[type(event)]
    return pipeline.run(mapping, json.loads(EventCodec(type(event)).encode(event, source="test")))


@EACH
def test_an_event_goes_through_the_pipeline_with_its_user(
    registry: Registry, classes: dict[str, Any], user: Any, wrong: Any
) -> None:
    outcome = run(registry, classes["OrderPaid"](customer=user))
    assert isinstance(outcome, Published)
    assert (outcome.event.user_id, type(outcome.event.user_id)) == (user, type(user))
    assert isinstance(run(registry, classes["OrderPaid"](customer=None)), Skipped)
    lost = run(registry, classes["OrderLost"](customer=user))
    assert (type(lost), lost.told) == (Dead, (f"user:{user}",))
    if wrong is not None:
        dead = run(registry, classes["OrderPaid"](customer=wrong))
        assert (type(dead), dead.failure.error_class, dead.told) == (Dead, "bridge.IdError", ())
        assert str(wrong) not in dead.failure.message


@EACH
def test_an_event_made_by_hand_is_the_same_after_a_dict(
    registry: Registry,
    classes: dict[str, Any],
    user: Any,
    wrong: Any,
) -> None:
    event = registry.sse_event(Type.PAID, user, {"number": 1})
    written = json.loads(json.dumps(event.to_dict()))
    assert written["user_id"] == str(user)
    again = SSEEvent.from_dict(written, parse_type=registry.parse_type, parse_user=registry.users.parse)
    assert again == event
    with pytest.raises(ValueError, match="user_id must"):
        registry.sse_event(Type.PAID, 1.5, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("user", [7, "ann", None])
def test_an_event_made_without_a_registry_is_for_a_uuid(user: Any) -> None:
    with pytest.raises(ValueError, match="user_id must be a UUID"):
        SSEEvent(event_type=Type.PAID, user_id=user, data={})


def asked(query: str = "", **claims: Any) -> HTTPConnection:
    token = jwt.api_jws.encode(json.dumps({"exp": int(time.time()) + 60, **claims}).encode(), SECRET, "HS256")
    return HTTPConnection(
        {
            "type": "http",
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
            "query_string": query.encode(),
            "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", 8000),
        }
    )


@pytest.mark.parametrize(
    ("users", "sub", "user"),
    [(INTS, "7", 7), (INTS, 7, 7), (INTS, -7, -7), (TEXTS, "auth0|ann", "auth0|ann"), (UUIDS, str(USER), USER)],
)
async def test_a_token_names_a_user_of_the_registrys_kind(users: IdType, sub: Any, user: Any) -> None:
    door = authenticator(Settings(jwt_secret=SECRET), users)
    assert (await door.identify(asked(sub=sub))).user == user


@pytest.mark.parametrize(
    ("users", "sub"),
    [(INTS, "07"), (INTS, True), (INTS, 7.0), (INTS, "ann"), (INTS, None), (INTS, [7]), (TEXTS, 7), (TEXTS, "a b")],
)
async def test_a_token_for_a_user_of_another_kind_is_401(users: IdType, sub: Any) -> None:
    with pytest.raises(UnauthorizedError, match=r"names no user|lacks the claim"):
        await authenticator(Settings(jwt_secret=SECRET), users).identify(asked(sub=sub))


async def test_development_mode_takes_such_a_user_and_says_what_it_wants() -> None:
    assert (await DevelopmentAuthenticator(INTS).identify(asked("user_id=7"))).user == 7
    for query in ("", "user_id=", "user_id=07", "user_id=7&user_id=8"):
        with pytest.raises(RequestRefusedError, match=r"\?user_id=<int>") as refused:
            await DevelopmentAuthenticator(INTS).identify(asked(query))
        assert refused.value.status == 422


def test_the_page_for_operators_takes_such_users() -> None:
    def users(registry: Registry, query: str) -> tuple[str, ...]:
        return read_selection(QueryParams(query), registry, now_ms=0, payloads=False).addresses

    assert users(numbers, "user=7,8+9") == ("user:7", "user:8", "user:9")
    assert users(names, "user=a,b&user=c") == ("user:a,b", "user:c")
    assert users(uuids, f"user={str(USER).upper()}") == (f"user:{USER}",)
    with pytest.raises(SettingsError, match="is no user id: those are whole numbers"):
        users(numbers, f"user={USER}")


@pytest.mark.parametrize(
    ("data", "user"),
    [
        ({"user_id": 7}, "7"),
        ({"user_id": str(USER).upper()}, str(USER)),
        ({"user_id": "auth0|ann"}, "auth0|ann"),
        ({"user_id": USER.hex}, USER.hex),
        ({"user_id": f"urn:uuid:{USER}"}, f"urn:uuid:{USER}"),
        ({"user_id": "a b"}, ""),
        ({"user_id": True}, ""),
        ({"user_id": 2**63}, ""),
        ({"user_id": None}, ""),
        ({}, ""),
    ],
)
def test_the_user_of_an_envelope_without_a_mapping_is_read_if_it_could_be_one(data: dict[str, Any], user: str) -> None:
    assert user_in(json.dumps({"data": data})) == user


@pytest.mark.parametrize("user", [USER.hex, str(USER).upper(), USER.urn, "007", "-0"])
@pytest.mark.parametrize("field", ["as it is", "computed"])
def test_a_text_that_looks_like_another_kind_of_id_stays_itself_where_an_event_fails(user: str, field: str) -> None:
    row, name = names.mappings[0], attribute_returned(names.mappings[0].user_id_extractor)
    if field == "computed":
        row, name = replace(row, user_id_extractor=lambda event: event.user_id[:]), "user_id"
    catalog = Registry(
        event_types=names.event_types, categories=names.categories, events=names.events, mappings=[row], user_id=str
    )
    broken = {"id": str(USER), "data": {name: user}}
    dead = Pipeline(catalog, retry=RetryPolicy(attempts=1), event_max_bytes=10_000, random=lambda: 0.5).run(row, broken)
    assert (type(dead), dead.told) == (Dead, (f"user:{user}",))


def test_documents_say_what_users_are_called() -> None:
    assert [describe_registry(one)["user_id"] for one in (numbers, names, uuids)] == ["int", "str", "uuid"]
    assert "Users are called by whole numbers of at most 64 bits" in events_page(numbers)
    with_topics = Registry(
        event_types=numbers.event_types,
        categories=numbers.categories,
        events=numbers.events,
        topics=[Topic("order", int)],
    )
    assert describe_registry(with_topics)["topics"] == {"order": "int"}
    assert "`order:<int>`" in events_page(with_topics)


def test_processes_notice_when_their_users_are_called_otherwise() -> None:
    def catalog(kind: type) -> Registry:
        return Registry(event_types=uuids.event_types, categories=uuids.categories, events=uuids.events, user_id=kind)

    assert identity_of(catalog(int)).difference(identity_of(catalog(str))) == "another catalog"
