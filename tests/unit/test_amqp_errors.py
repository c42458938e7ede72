"""Errors of AMQP and kombu are told apart: to be waited for, to be connected anew, to be said, or ours."""

import pytest
import redis
from amqp import exceptions as amqp
from kombu.exceptions import OperationalError

from bridge.amqp_adapter.errors import broker_error, diagnose
from bridge.model.errors import BrokerRefusedError, BrokerUnavailableError, ErrorKind

TRANSIENT, WRONG_PEER, PERMANENT = ErrorKind.TRANSIENT, ErrorKind.WRONG_PEER, ErrorKind.PERMANENT

ERRORS: list[tuple[Exception, ErrorKind]] = [
    (amqp.AccessRefused("ACCESS_REFUSED - Login was refused"), PERMANENT),
    (amqp.PreconditionFailed("PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q'"), PERMANENT),
    (amqp.NotAllowed("NOT_ALLOWED - vhost shop not found"), PERMANENT),
    (amqp.AMQPNotImplementedError("NOT_IMPLEMENTED"), PERMANENT),
    (amqp.PreconditionFailed("PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"), WRONG_PEER),
    (amqp.ConnectionForced("CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"), WRONG_PEER),
    (amqp.NotFound("NOT_FOUND - no queue 'q'"), WRONG_PEER),
    (amqp.UnexpectedFrame("frame"), WRONG_PEER),
    (amqp.RecoverableConnectionError("Socket was disconnected"), WRONG_PEER),
    (ConnectionResetError("reset"), WRONG_PEER),
    (amqp.ResourceError("RESOURCE_ERROR"), TRANSIENT),
    (amqp.MessageNacked(), TRANSIENT),
    (ConnectionRefusedError("refused"), TRANSIENT),
    (TimeoutError("timed out"), TRANSIENT),
    (redis.ReadOnlyError("You can't write against a read only replica."), WRONG_PEER),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=[f"{type(e).__name__} {e}"[:50] for e, _ in ERRORS])
def test_an_error_says_what_helps(error: Exception, kind: ErrorKind) -> None:
    trouble = diagnose(error)
    assert trouble is not None
    assert trouble.kind is kind
    expected = BrokerRefusedError if kind is PERMANENT else BrokerUnavailableError
    assert isinstance(broker_error(error, "Nothing was sent."), expected)


def test_what_kombu_wraps_is_judged_by_what_it_wraps() -> None:
    wrapped = OperationalError("(0, 0): (403) ACCESS_REFUSED")
    wrapped.__cause__ = amqp.AccessRefused("ACCESS_REFUSED")
    trouble = diagnose(wrapped)
    assert trouble is not None
    assert trouble.kind is PERMANENT


@pytest.mark.parametrize("error", [KeyError("id"), AttributeError("x"), ValueError("y")])
def test_a_fault_of_ours_is_no_trouble_of_the_broker(error: Exception) -> None:
    assert diagnose(error) is None
    assert broker_error(error, "Nothing was sent.") is None
