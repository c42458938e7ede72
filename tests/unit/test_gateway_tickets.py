"""No ticket, session or withdrawal of one user is ever worth anything to another; and an address shows no ticket."""

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from bridge.catalogs.finance import REGISTRY
from bridge.gateway.authenticator import Principal
from bridge.gateway.request import parse_request
from bridge.gateway.tickets import TicketAuthenticator, digest_of, hide_tickets, new_ticket, tickets_of, written
from bridge.gateway.withdrawals import Admission, KnownWithdrawals
from bridge.model.counting import Counters
from bridge.model.errors import UnauthorizedError
from bridge.model.registry import Registry, Topic
from bridge.model.withdrawal import SessionDigest, Withdrawal, session_target, user_target
from tests.support.identities import numbers

NOW_S = 1_800_000_000.0


class Box:
    """Tickets in memory, issued at ever later times of the store."""

    channel = "control"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.now_s = NOW_S

    def issue(self, principal: Principal, registry: Registry = numbers) -> str:
        ticket = new_ticket()
        self.now_s += 1
        record = written(principal, registry)[1]
        self.kept[digest_of(ticket)] = f"{int(self.now_s * 1000)} ".encode() + record
        return ticket

    async def take(self, digest: str) -> bytes | None:
        return self.kept.pop(digest, None)


class Otherwise:
    """Asked where there is no ticket."""

    async def identify(self, _: Any) -> Principal:
        raise UnauthorizedError("no session")


def asked(query: str) -> HTTPConnection:
    scope = {"type": "http", "headers": [], "query_string": query.encode()}
    hide_tickets(scope)
    return HTTPConnection(scope)


async def believed(box: Box, *tickets: str, registry: Registry = numbers) -> Principal | None:
    try:
        query = "&".join(f"ticket={ticket}" for ticket in tickets)
        return await TicketAuthenticator(Otherwise(), box.take, registry).identify(asked(query))
    except UnauthorizedError:
        return None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
users = st.integers(1, 4)
sessions = st.sampled_from(["", "a", "b"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), users, sessions),
        st.tuples(st.just("use"), st.integers(0, 20), st.booleans()),
        st.tuples(st.just("garble"), st.integers(0, 20), st.integers(0, 42)),
        st.tuples(st.just("disconnect"), users, sessions),
    ),
    max_size=40,
)


@given(steps)
async def test_a_ticket_opens_one_stream_of_its_own_user_and_none_after_a_disconnect(steps: list[Any]) -> None:
    box, counters = Box(), Counters()
    rights = KnownWithdrawals(box, ttl_s=600, counters=counters, on_news=lambda: None)  # type: ignore[arg-type]
    issued: list[tuple[str, int, str]] = []
    spent: set[str] = set()
    out: set[str] = set()
    for kind, one, other in steps:
        if kind == "issue":
            issued.append((box.issue(Principal(user=one, session=other)), one, other))
        elif kind == "disconnect":
            box.now_s += 1
            rights.hear(Withdrawal(session_target(other) if other else user_target(one), int(box.now_s * 1000)).write())
            out |= {ticket for ticket, user, session in issued if (session == other if other else user == one)}
        elif issued and kind == "use":
            ticket, user, session = issued[one % len(issued)]
            found = await believed(box, ticket)
            assert (found is None) == (ticket in spent)
            spent.add(ticket)
            if found:
                assert (found.user, found.session) == (user, session_target(session) if session else "")
                # Later than the disconnect by the monotonic clock: what counts is when the ticket was issued.
                assert rights.refuses(Admission.of(found, time.monotonic() + 60)) == (ticket in out)
        elif issued:
            ticket = issued[one % len(issued)][0]
            place = other % len(ticket)
            assert (
                await believed(box, ticket[:place] + ("A" if ticket[place] != "A" else "B") + ticket[place + 1 :])
                is None
            )


async def test_what_a_principal_may_hear_and_until_when_goes_with_the_ticket() -> None:
    order = Topic("order", int)
    registry = Registry(
        event_types=numbers.event_types,
        categories=numbers.categories,
        events=numbers.events,
        user_id=int,
        topics=[order],
    )
    box, ends = Box(), time.time() + 60
    ticket = box.issue(Principal(user=7, topics=[order(42)], expires_at=ends, issued_at=5.0), registry)
    found = await believed(box, ticket, registry=registry)
    assert found == Principal(user=7, topics=[order(42)], expires_at=ends, issued_at=5.0)
    endless = await believed(box, box.issue(Principal(user=7), registry), registry=registry)
    assert endless is not None and endless.expires_at is not None
    assert time.time() < endless.expires_at <= time.time() + 3600
    assert await believed(box, box.issue(Principal(user=7, expires_at=1.0))) is None


@given(TEXTS.filter(bool))
async def test_of_a_session_a_ticket_knows_no_more_than_a_disconnect_needs(session: str) -> None:
    box = Box()
    ticket = box.issue(Principal(user=7, session=session))
    (record,) = box.kept.values()
    assert json.loads(record.partition(b" ")[2]) == {"user": "7", "session": session_target(session)}
    found = await believed(box, ticket)
    assert found is not None
    assert session_target(session) in Admission.of(found, 0.0).targets
    again = await believed(box, box.issue(found))
    assert again is not None and again.session == found.session


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant(Principal):
    """Of an application."""

    tenant: str


async def test_what_an_application_added_to_a_principal_does_not_go_with_the_ticket() -> None:
    box = Box()
    found = await believed(box, box.issue(Tenant(user=7, tenant="west")))
    assert type(found) is Principal


def test_a_session_that_is_called_as_a_target_is_none() -> None:
    named = session_target("a")
    assert session_target(SessionDigest(named)) == named != session_target(named)


@pytest.mark.parametrize(
    "record", [b"", b"x", b"1 ", b"1 {}", b'1 {"user":"seven"}', b'x {"user":"7"}', b"1 " + b"[" * 9999]
)
async def test_what_lies_there_and_is_no_ticket_opens_nothing(record: bytes) -> None:
    box = Box()
    box.kept[digest_of("one")] = record
    assert await believed(box, "one") is None


async def test_one_ticket_is_wanted() -> None:
    box = Box()
    first, second = (box.issue(Principal(user=user)) for user in (1, 2))
    assert await believed(box, first, second) is None
    assert await believed(box, "") is None
    assert await believed(box, "x" * 101) is None
    assert await believed(box, first) is not None, "nothing was taken meanwhile"


@given(TEXTS, TEXTS)
def test_an_address_shows_no_ticket_and_keeps_the_rest(ticket: str, other: str) -> None:
    query = urlencode({"categories": other, "ticket": ticket, "last_event_id": "1-0"})
    scope = {"type": "http", "headers": [], "query_string": query.encode()}
    hide_tickets(scope)
    shown = parse_qs(scope["query_string"].decode(), keep_blank_values=True)  # type: ignore[attr-defined]
    assert shown == {"categories": [other], "ticket": ["***"], "last_event_id": ["1-0"]}
    assert tickets_of(HTTPConnection(scope)) == [ticket]


def test_a_ticket_is_no_mistyped_parameter() -> None:
    assert not parse_request(QueryParams("ticket=***"), {}, REGISTRY).resumes
