"""Schedules: what may befall a gateway, its clients and their rights; and how they are drawn."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from bridge.model.events import SSEEventType
from bridge.model.registry import EVERYONE, Address, Retention, TopicAddress, User

USERS = tuple(UUID(int=number) for number in (1, 2, 3))
TYPES = (SSEEventType.IMPORT_PROGRESS, SSEEventType.PORTFOLIO_BALANCE_UPDATED, SSEEventType.AI_RESPONSE_CHUNK)
FILTERS = (frozenset[str](), frozenset({"import"}), frozenset({"import", "portfolio"}))
ORDER, OTHER, ORG = TopicAddress("order", 42), TopicAddress("order", 43), TopicAddress("org", 7)
EAR = tuple[frozenset[str], tuple[TopicAddress, ...], bool]
EARS: tuple[EAR, ...] = (
    (FILTERS[0], (), False),
    (FILTERS[1], (), True),
    (FILTERS[2], (ORDER,), False),
    (FILTERS[0], (ORG, ORDER), False),
    (FILTERS[1], (ORG,), True),
    (FILTERS[0], (ORDER, OTHER), True),
)
"""By which filter, which topics, and whether by one-use tickets."""
TABS = tuple((user, *ear) for user in USERS[:2] for ear in EARS)
"""Who may listen to what. The third user never does: its events are noise."""
PLACES = (*map(User, USERS), EVERYONE, ORDER, ORG, OTHER)
"""Every address; each has streams of its own."""
AUDIENCES: tuple[tuple[Address, ...], ...] = (
    *((place,) for place in PLACES),
    (PLACES[0], ORDER),
    (ORDER, ORG, PLACES[1]),
    (EVERYONE, PLACES[0]),
    (ORG, EVERYONE, ORDER, PLACES[1]),
    (PLACES[2], ORG),
    (OTHER, PLACES[0], ORG),
)
"""What a mapping may tell."""
APART = Retention("apart")
"""The class of retention of the last of the types."""
RIGHTS = tuple((user, topic) for user in USERS[:2] for topic in (ORDER, ORG, OTHER))
"""What may be withdrawn, and is there in the beginning: of orders by a rule of the topic, of ORG by the principal."""
GATEWAYS = 2
"""How many there are; a client that comes back meets the next one."""
NODE_MAX = 2
"""Entries in a node of a stream; Redis trims whole nodes, and short ones let a short stream be trimmed."""
STREAM_TTL_S = 1
"""The shortest that there is, for schedules in which streams expire."""


@dataclass(frozen=True)
class Publish:
    """Hand events to the publisher, and do not wait."""

    audience: int
    number: int
    kind: int


@dataclass(frozen=True)
class Connect:
    """A tab opens, or comes back, or reads on."""

    tab: int


@dataclass(frozen=True)
class Disconnect:
    """A tab hangs up."""

    tab: int


@dataclass(frozen=True)
class Pause:
    """A tab stops reading."""

    tab: int


@dataclass(frozen=True)
class Trim:
    """A stream is cut to its newest entries."""

    place: int
    keep: int
    apart: bool


@dataclass(frozen=True)
class CutHub:
    """Redis closes every gateway's subscription."""


@dataclass(frozen=True)
class RestartGateway:
    """A gateway ends in order, or is torn off; another starts."""

    gateway: int
    in_order: bool


@dataclass(frozen=True)
class RestartRedis:
    """Redis is killed and started again, with its AOF or without."""

    keeps_memory: bool


@dataclass(frozen=True)
class Expire:
    """Nothing happens for so long that the streams expire."""


@dataclass(frozen=True)
class Withdraw:
    """A right is withdrawn."""

    right: int


@dataclass(frozen=True)
class Grant:
    """A right is given back."""

    right: int


@dataclass(frozen=True)
class Recheck:
    """The time has come at which every open stream's topics are asked again."""


@dataclass(frozen=True)
class RuleTrouble:
    """The rule of a topic raises from now on, or does not any more."""

    raises: bool


@dataclass(frozen=True)
class EndUser:
    """A user is disconnected: what was granted before is worth nothing any more."""

    user: int


@dataclass(frozen=True)
class EndSession:
    """The same of what one tab has signed in with."""

    tab: int


@dataclass(frozen=True)
class SignIn:
    """A tab signs in anew."""

    tab: int


@dataclass(frozen=True)
class Breathe:
    """The others get time: some turns of the event loop, or until all is published and shown."""

    turns: int | None


Change = Withdraw | Grant | Recheck | RuleTrouble | EndUser | EndSession | SignIn
Trouble = Trim | CutHub | RestartGateway | RestartRedis | Expire
Step = Publish | Connect | Disconnect | Pause | Breathe | Trouble | Change


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What happens.

    Attributes:
        steps: in this order.
        stream_maxlen: as the setting.
        queue_max: as ``gateway_queue_max``.
        stream_ttl_s: as the setting.
    """

    steps: tuple[Step, ...]
    stream_maxlen: int
    queue_max: int
    stream_ttl_s: int = 3600

    @property
    def forgets(self) -> bool:
        """Whether anything may be lost for good, so that resets are due."""
        return (
            self.stream_maxlen < 100
            or self.stream_ttl_s <= STREAM_TTL_S
            or any(isinstance(step, Trim) or step == RestartRedis(keeps_memory=False) for step in self.steps)
        )


def _withdrawn(user: int, topic: TopicAddress, ways: tuple[Step, ...], back: tuple[Step, ...]) -> tuple[Step, ...]:
    """A tab hears a topic, loses a right while it listens or is away, and more is told to the topic."""
    tab = next(place for place, one in enumerate(TABS) if one[0] == USERS[user] and topic in one[2])
    publish = Publish(AUDIENCES.index((topic,)), 1, 0)
    withdraw = Withdraw(RIGHTS.index((USERS[user], topic))) if Recheck() in back else EndUser(user)
    return (Connect(tab), Breathe(30), publish, *ways, withdraw, *back, publish)


def _turns() -> st.SearchStrategy[tuple[Step, ...]]:
    """What seldom comes together by chance: the steps in which a right is lost, in their order."""
    away = st.sampled_from([(), (Breathe(None),), (Breathe(None), *(Disconnect(tab) for tab in range(len(TABS))))])
    back = st.sampled_from([(Recheck(),), (Breathe(3),), (Recheck(), *(Connect(tab) for tab in range(len(TABS))))])
    return st.builds(_withdrawn, st.integers(0, 1), st.sampled_from([ORDER, ORG, OTHER]), away, back)


def schedules(
    *, restarts: bool = True, forgetting: bool = True, expiring: bool = False, rights: bool = True
) -> st.SearchStrategy[Schedule]:
    """Draw a schedule; one kind of step is as likely as another, but the everyday ones are drawn more often."""
    tabs = st.integers(0, len(TABS) - 1)
    audiences = st.integers(0, len(AUDIENCES) - 1)
    publish = st.builds(Publish, audiences, st.integers(1, 6), st.integers(0, len(TYPES) - 1))
    connect = st.builds(Connect, tabs)
    breathe = st.builds(Breathe, st.sampled_from([0, 1, 3, 10, 30, None]))
    common: list[st.SearchStrategy[Any]] = [publish, publish, publish, connect, connect, breathe, breathe]
    common += [st.builds(Disconnect, tabs), st.builds(Pause, tabs), st.just(CutHub())]
    rare: list[st.SearchStrategy[Any]] = []
    if rights:
        right = st.integers(0, len(RIGHTS) - 1)
        common += [st.builds(Withdraw, right), st.one_of(st.just(Recheck()), st.builds(Grant, right))]
        common += [
            st.one_of(st.builds(EndUser, st.integers(0, 1)), st.builds(EndSession, tabs)),
            st.builds(SignIn, tabs),
        ]
        rare.append(st.builds(RuleTrouble, st.booleans()))
    if restarts:
        restart = st.builds(RestartGateway, st.integers(0, GATEWAYS - 1), st.booleans())
        rare += [restart, st.just(RestartRedis(keeps_memory=True))]
    if forgetting:
        common.append(st.builds(Trim, st.integers(0, len(PLACES) - 1), st.integers(0, 3), st.booleans()))
        rare += [st.just(RestartRedis(keeps_memory=False))] if restarts else []
    if expiring:
        rare = [st.just(Expire())]
    everyday = st.lists(st.one_of(common), min_size=5, max_size=14)
    turn = st.one_of(st.just(()), _turns()) if rights else st.just(())
    seldom = st.lists(st.one_of(rare), max_size=2) if rare else st.just([])
    coming = st.lists(connect, min_size=1, max_size=3)
    steps = st.tuples(coming, everyday, seldom, turn, everyday).map(
        lambda parts: tuple(step for part in parts for step in part)
    )
    return st.builds(
        Schedule,
        steps=steps,
        stream_maxlen=st.sampled_from([1000, 1000, 3] if forgetting else [1000]),
        queue_max=st.sampled_from([512, 4]),
        stream_ttl_s=st.just(STREAM_TTL_S if expiring else 3600),
    )
