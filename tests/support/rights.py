"""Who may hear what in a schedule: rules and an authenticator, which a gateway asks, and the judge of what it does."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from bridge import Registry, Topic
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal
from bridge.gateway.auth import authenticator
from bridge.gateway.gateway import Gateway
from bridge.model.registry import Address, TopicAddress
from bridge.settings import Settings
from tests.support.event_source import EventSource
from tests.support.schedules import ORDER, ORG, RIGHTS, USERS, Grant, RuleTrouble, Withdraw


@dataclass(eq=False)
class Asked:
    """A request, and how many changes of rights there had been when it was made."""

    changes: int


class Rights:
    """ORDER is left to a rule of the topic, ORG to a list of the principal that changes while streams are open.

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
        return rights.isdisjoint(self._withdrawn) and (self._raises_since is None or ORDER not in source.topics)

    async def recheck(self, gateway: Gateway | None) -> None:
        """Have all open streams asked about; what is withdrawn, and could be asked, must not be heard from then on."""
        assert gateway
        # About whom was asked before is served by then, or refused.
        before = set(self._unanswered)
        while before & self._unanswered:  # noqa: ASYNC110  (polls what has no event)
            await asyncio.sleep(0)
        streams = dict(gateway.rechecks._watched)
        for one in streams.values():
            one.due_at = 0.0
        gateway.rechecks.look()
        while any(streams[one].asked for one in streams.keys() & gateway.rechecks._watched):  # noqa: ASYNC110
            await asyncio.sleep(0)
        self._enforced.update(right for right in self._withdrawn if self._raises_since is None or right[1] != ORDER)

    # What it does

    def asks(self, source: EventSource) -> Asked:
        asked = Asked(self._changes)
        self._unanswered.add(asked)
        return asked

    def answered(self, source: EventSource, asked: object, status: int) -> None:
        assert isinstance(asked, Asked)
        self._unanswered.discard(asked)
        if status == 200:
            closed = [self._withdrawn.get((source.user_id, topic)) for topic in source.topics]
            closed += [self._raises_since] if ORDER in source.topics else []
            if any(since is not None and since <= asked.changes for since in closed):
                self.leaks.append(f"LEAK: {source.user_id} was given {source.query}")

    def sends(self, source: EventSource, text: str) -> None:
        for line in text.split("\n"):
            told = self._audience_of.get(line.removeprefix("id: "))
            if told is not None and not any(
                address in source.hears and (source.user_id, address) not in self._enforced for address in told
            ):
                self.leaks.append(f"LEAK: {source.user_id} with {source.query} was sent what {told} was told: {line}")
