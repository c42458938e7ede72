"""Who may hear which topics: asked before a stream is opened, and again and again while it is open."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

from bridge.gateway.asking import Failure, Questions
from bridge.gateway.authenticator import RETRY_AFTER_S, Principal
from bridge.gateway.connection import Ending
from bridge.gateway.refusal import RequestRefusedError, unavailable
from bridge.model.counting import Counters
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry, TopicAddress
from bridge.runtime.supervision import end_tasks

logger = plain_logger(__name__)

ANSWER_S = 10.0
"""How long an application may take to say whether one client may hear one topic."""


class Verdict(NamedTuple):
    """What was said of a client's topics."""

    forbidden: Sequence[TopicAddress] = ()
    unanswered: Sequence[TopicAddress] = ()  # by a fault of the application


class TopicRights:
    """Asks each topic's ``may_hear``, or, where it has none, the principal's own ``topics``.

    Only True opens. A fault of the application's is told as one, counted, and logged once until there is an answer.
    """

    def __init__(self, registry: Registry, counters: Counters) -> None:
        self._rules = {topic.name: topic.may_hear for topic in registry.topics}
        self._counters = counters
        self._questions = Questions()
        self._said: dict[str, str] = {}

    async def permit(self, principal: Principal, topics: Sequence[TopicAddress]) -> None:
        """Return if a client may hear all of the topics.

        Raises:
            RequestRefusedError: 403, it may not, whether there is such a thing or not; 503, it cannot be found out.
        """
        forbidden, unanswered = await self.judge(principal, topics)
        if forbidden:
            self._counters.topics_forbidden += 1
            names = [str(topic) for topic in forbidden]
            raise RequestRefusedError(
                HTTPStatus.FORBIDDEN, f"You may not hear {', '.join(names)}.", members={"forbidden": names}
            )
        if unanswered:
            names = [str(topic) for topic in unanswered]
            sentence = f"Whether you may hear {', '.join(names)} cannot be found out now; try again later."
            raise unavailable(sentence, RETRY_AFTER_S)

    async def judge(self, principal: Principal, topics: Sequence[TopicAddress]) -> Verdict:
        """Which of the topics a client may not hear, and of which that is not known."""
        answers = await asyncio.gather(*(self._ask(principal, topic) for topic in topics))
        told = list(zip(topics, answers, strict=True))
        return Verdict(
            forbidden=[topic for topic, answer in told if answer is False],
            unanswered=[topic for topic, answer in told if answer is None],
        )

    async def _ask(self, principal: Principal, topic: TopicAddress) -> bool | None:
        """Whether the client may hear it; None if there was no answer."""
        answer = await self._answer(principal, topic)
        if not isinstance(answer, Failure | bool | None):
            answer = Failure(f"it returned {type(answer).__name__}, not True or False")
        if not isinstance(answer, Failure):
            self._said.pop(topic.name, None)
            return bool(answer)
        self._counters.topic_rule_failures += 1
        if self._said.get(topic.name) != answer.why:
            self._said[topic.name] = answer.why
            logger.error("bridge.gateway.topic_rule_failed topic=%s: %s.", topic.name, answer.why)
        return None

    async def _answer(self, principal: Principal, topic: TopicAddress) -> object:
        if rule := self._rules[topic.name]:
            return await self._questions.ask(ANSWER_S, rule, principal, topic.key)
        if callable(principal.topics):
            return await self._questions.ask(ANSWER_S, principal.topics, topic)
        try:
            return topic in principal.topics
        except Exception as error:  # a collection of the application's own
            return Failure.of(error)


EARLY = 0.75
"""A stream's topics are asked again after the interval, or this part of it: spread, and never later."""
GRACE = 5
"""Intervals for which a stream whose topics were allowed goes on while the application cannot say it again."""
LOOK_EVERY_S = 1.0
"""How often it is looked for streams whose topics are to be asked again, at most."""
ASKED_AT_ONCE = 16
"""Streams whose topics are asked again at a time, so that an application meets no burst."""


class Listener(Protocol):
    """A stream."""

    def end(self, ending: Ending) -> None:
        """End it; the first cause counts."""
        ...


class _Watched:
    """When a stream's topics were allowed last, and when they are asked again; in seconds of the monotonic clock."""

    __slots__ = ("allowed_at", "asked", "due_at", "principal", "stream", "topics")

    def __init__(
        self, stream: Listener, principal: Principal, topics: Sequence[TopicAddress], now: float, due_at: float
    ) -> None:
        self.stream = stream
        self.principal = principal
        self.topics = topics
        self.allowed_at = now
        self.due_at = due_at
        self.asked = False


class Rechecks:
    """Ends streams with a topic that their clients may not hear any more, so that these come back and are judged anew.

    Args:
        rights: are asked.
        interval_s: so long after they were allowed, a stream's topics are asked again, at the latest.
        counters: count how often.
    """

    def __init__(self, rights: TopicRights, interval_s: float, counters: Counters) -> None:
        self._rights = rights
        self._interval_s = interval_s
        self._counters = counters
        self._watched: dict[Listener, _Watched] = {}
        self._places = asyncio.Semaphore(ASKED_AT_ONCE)
        self._asking: set[asyncio.Task[None]] = set()

    def streams_by_topic(self) -> Mapping[str, int]:
        """Name of a topic → how many streams hear one or several of that name."""
        return Counter(name for one in self._watched.values() for name in {topic.name for topic in one.topics})

    def watch(self, stream: Listener, principal: Principal, topics: Sequence[TopicAddress]) -> None:
        """From now on; the topics have just been allowed."""
        now = time.monotonic()
        self._watched[stream] = _Watched(stream, principal, topics, now, self._next_due(now))

    def forget(self, stream: Listener) -> None:
        """It has ended. Idempotent."""
        self._watched.pop(stream, None)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self.look()
                await asyncio.sleep(min(LOOK_EVERY_S, self._interval_s / 10))
        finally:
            await end_tasks(*self._asking)

    def look(self) -> None:
        """Ask about the streams of which it is due, and end them if there was no answer for long."""
        now = time.monotonic()
        for watched in tuple(self._watched.values()):
            if now - watched.allowed_at > GRACE * self._interval_s:
                watched.stream.end(Ending.TOPICS_UNCONFIRMED)
            elif now >= watched.due_at and not watched.asked:
                watched.asked = True
                task = asyncio.create_task(self._recheck(watched))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _recheck(self, watched: _Watched) -> None:
        async with self._places:
            if watched.stream not in self._watched:
                return
            asked_at = time.monotonic()
            self._counters.topics_rechecked += 1
            verdict = await self._rights.judge(watched.principal, watched.topics)
        watched.asked, watched.due_at = False, self._next_due(asked_at)
        if verdict.forbidden:
            watched.stream.end(Ending.TOPICS_WITHDRAWN)
        elif not verdict.unanswered:
            watched.allowed_at = asked_at

    def _next_due(self, now: float) -> float:
        return now + self._interval_s * random.uniform(EARLY, 1.0)  # noqa: S311  (no secret)
