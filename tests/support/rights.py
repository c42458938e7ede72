"""Who may hear what in a schedule: rules and an authenticator, which a gateway asks, and the judge of what it does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

from bridge import Registry, Topic
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal
from bridge.gateway.auth import authenticator
from bridge.gateway.gateway import Gateway
from bridge.model.registry import Address, TopicAddress
from bridge.model.withdrawal import session_target, user_target
from bridge.settings import Settings
from tests.support.event_source import EventSource
from tests.support.schedules import ORDER, ORG, RIGHTS, USERS, Grant, RuleTrouble, Withdraw
from tests.support.waiting import WAIT_S

Withdrawing: TypeAlias = Callable[[str], Awaitable[int]]
"""Withdraws what was granted to a user or session; returns a time in ms of the store that is not after that."""


@dataclass(eq=False)
class Asked:
    """A request.

    Attributes:
        changes: of rights, before it was made.
        signed_in: how many of them before its client signed in.
    """

    changes: int
    signed_in: int


class Rights:
    """Orders are left to a rule of the topic, ORG to a list of the principal that changes while streams are open.

    Args:
        audience_of: id of an event → what it was told.
    """

    def __init__(self, settings: Settings, audience_of: Mapping[str, tuple[Address, ...]]) -> None:
        self.leaks: list[str] = []
        self.registry = Registry(
            event_types=REGISTRY.event_types,
            categories=REGISTRY.categories,
            events=REGISTRY.events,
            topics=[Topic(ORDER.name, int, may_hear=self._may_hear), Topic(ORG.name, int)],
        )
        self._tokens = authenticator(settings)
        self._audience_of = audience_of
        self._own: dict[object, list[TopicAddress]] = {user: [ORG] for user in USERS}
        self._changes = 0
        self._withdrawn: dict[tuple[UUID, Address], int] = {}
        self._raises_since: int | None = None
        self._enforced: set[tuple[UUID, Address]] = set()
        self._unanswered: set[Asked] = set()
        self._signed_in: dict[EventSource, int] = {}
        self._newest: dict[EventSource, Asked] = {}
        self._ended: dict[str, int] = {}

    # What the gateway asks

    async def identify(self, request: Any) -> Principal:
        principal = await self._tokens.identify(request)
        return replace(principal, topics=self._own[principal.user])

    async def _may_hear(self, principal: Principal, key: int) -> bool:
        if self._raises_since is not None:
            raise LookupError
        return (principal.user, TopicAddress(ORDER.name, key)) not in self._withdrawn

    # What changes

    def change(self, step: Withdraw | Grant | RuleTrouble) -> None:
        self._changes += 1
        match step:
            case Withdraw(number):
                self._withdrawn.setdefault(RIGHTS[number], self._changes)
            case Grant(number):
                self._withdrawn.pop(RIGHTS[number], None)
                self._enforced.discard(RIGHTS[number])
            case RuleTrouble(raises):
                self._raises_since = self._changes if raises else None
        for user, own in self._own.items():
            own[:] = [ORG] if (user, ORG) not in self._withdrawn else []

    def give_all_back(self) -> None:
        for number in range(len(RIGHTS)):
            self.change(Grant(number))
        self.change(RuleTrouble(raises=False))

    def let(self, source: EventSource) -> bool:
        """Whether a client would get its stream now."""
        rights = {(source.user_id, topic) for topic in source.topics}
        answered = self._raises_since is None or not hears_orders(source)
        return rights.isdisjoint(self._withdrawn) and answered and not self._has_ended(source, self._signed_in[source])

    def sign_in(self, source: EventSource, at_s: float) -> None:
        """A client gets a new token."""
        self._signed_in[source] = self._changes
        source.signed_in_s = at_s

    async def disconnect(self, withdraw: Withdrawing, gateways: Sequence[Gateway], target: str) -> None:
        """Disconnect a user or a session; once all gateways know, what was granted before must have ended."""
        self._changes += 1
        number = self._changes
        at_ms = await withdraw(target)
        async with asyncio.timeout(WAIT_S):
            while not all(_knows(gateway, target, at_ms) for gateway in gateways):  # noqa: ASYNC110  (has no event)
                await asyncio.sleep(0)
        self._ended[target] = number

    def _has_ended(self, source: EventSource, signed_in: int) -> bool:
        targets = (user_target(source.user_id), session_target(source.session))
        return any(self._ended.get(target, 0) > signed_in for target in targets)

    async def recheck(self, gateways: Sequence[Gateway]) -> None:
        """Have all open streams asked about; what is withdrawn, and could be asked, must not be heard from then on."""
        # About whom was asked before is served by then, or refused.
        before = set(self._unanswered)
        while before & self._unanswered:  # noqa: ASYNC110  (polls what has no event)
            await asyncio.sleep(0)
        for gateway in gateways:
            streams = dict(gateway.rechecks._watched)
            for one in streams.values():
                one.due_at = 0.0
            gateway.rechecks.look()
            while any(streams[one].asked for one in streams.keys() & gateway.rechecks._watched):  # noqa: ASYNC110
                await asyncio.sleep(0)
        self._enforced.update(right for right in self._withdrawn if self._raises_since is None or right[1] == ORG)

    # What it does

    def asks(self, source: EventSource) -> Asked:
        asked = self._newest[source] = Asked(self._changes, self._signed_in[source])
        self._unanswered.add(asked)
        return asked

    def answered(self, source: EventSource, asked: object, status: int) -> None:
        assert isinstance(asked, Asked)
        self._unanswered.discard(asked)
        if status == 200:
            closed = [self._withdrawn.get((source.user_id, topic)) for topic in source.topics]
            closed += [self._raises_since] if hears_orders(source) else []
            if any(since is not None and since <= asked.changes for since in closed):
                self.leaks.append(f"LEAK: {source.user_id} was given {source.query}")

    def sends(self, source: EventSource, text: str) -> None:
        # A gateway that has just started opens streams before it knows who was disconnected, and sends nothing on them.
        ended = self._has_ended(source, self._newest[source].signed_in)
        for line in text.split("\n"):
            told = self._audience_of.get(line.removeprefix("id: "))
            if told is not None and (ended or not any(self._may_have(source, address) for address in told)):
                self.leaks.append(f"LEAK: {source.user_id} with {source.query} was sent what {told} was told: {line}")

    def _may_have(self, source: EventSource, address: Address) -> bool:
        # The list of topics in a ticket is asked about when it is issued, and no more.
        enforced = (source.user_id, address) in self._enforced and not (source.by_ticket and address == ORG)
        return address in source.hears and not enforced


def hears_orders(source: EventSource) -> bool:
    """Whether a rule is asked about a client."""
    return any(topic.name == ORDER.name for topic in source.topics)


def _knows(gateway: Gateway, target: str, at_ms: int) -> bool:
    mark = gateway._withdrawals._marks.get(target)
    return mark is not None and mark.at_s * 1000 >= at_ms
