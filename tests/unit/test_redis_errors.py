"""Errors of Redis are told apart: to be waited for, to be connected anew, or to be said; by what servers reply."""

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.exceptions import InvalidResponse
from redis.sentinel import MasterNotFoundError

from bridge.model.errors import ErrorKind, StoreRefusedError, StoreUnavailableError
from bridge.redis_adapter.errors import diagnose, store_error

TRANSIENT, WRONG_PEER, PERMANENT = ErrorKind.TRANSIENT, ErrorKind.WRONG_PEER, ErrorKind.PERMANENT

REPLIES = [
    ("OOM command not allowed when used memory > 'maxmemory'.", TRANSIENT, "OOM"),
    ("OOM command not allowed when used memory > 'maxmemory'. script: 5d, on @user_script:3.", TRANSIENT, "OOM"),
    ("LOADING Redis is loading the dataset in memory", TRANSIENT, "LOADING"),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", TRANSIENT, "BUSY"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", TRANSIENT, "TRYAGAIN"),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", TRANSIENT, "MASTERDOWN"),
    ("NOREPLICAS Not enough good replicas to write.", TRANSIENT, "NOREPLICAS"),
    ("MISCONF Redis is configured to save RDB snapshots, but cannot.", TRANSIENT, "MISCONF"),
    ("CLUSTERDOWN Hash slot not served", TRANSIENT, "CLUSTERDOWN"),
    ("ERR max number of clients reached", TRANSIENT, "ConnectionError"),
    ("SOMETHINGNEW that nobody has heard of", TRANSIENT, "SOMETHINGNEW"),
    ("READONLY You can't write against a read only replica.", WRONG_PEER, "READONLY"),
    ("READONLY You can't write against a read only replica. script: 9f, on @user_script:16.", WRONG_PEER, "READONLY"),
    ("ERR Error running script (call to f_9f): @user_script:1: READONLY You can't write", WRONG_PEER, "READONLY"),
    ("UNBLOCKED force unblock from blocking operation, instance state changed", WRONG_PEER, "UNBLOCKED"),
    ("MOVED 3999 127.0.0.1:6381", WRONG_PEER, "MOVED"),
    ("ASK 3999 127.0.0.1:6381", WRONG_PEER, "ASK"),
    ("CROSSSLOT Keys in request don't hash to the same slot", PERMANENT, "CROSSSLOT"),
    ("NOPERM User nobody has no permissions to run the 'evalsha' command", PERMANENT, "NOPERM"),
    ("ERR The user executing the script can't access at least one of the channels", PERMANENT, "NOPERM"),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", PERMANENT, "WRONGTYPE"),
    ("NOAUTH Authentication required.", PERMANENT, "NOAUTH"),
    ("WRONGPASS invalid username-password pair or user is disabled.", PERMANENT, "WRONGPASS"),
    ("DENIED Redis is running in protected mode", PERMANENT, "DENIED"),
    ("ERR unknown command 'EVALSHA', with args beginning with: 'secret' ", PERMANENT, "ERR"),
    ("ERR syntax error", PERMANENT, "ERR"),
    ("ERR Error compiling script (new function): user_script:1: '=' expected", PERMANENT, "ERR"),
    ("ERR This instance has cluster support disabled", PERMANENT, "ERR"),
    ("ERR SELECT is not allowed in cluster mode", PERMANENT, "ERR"),
    ("ERR DB index is out of range", PERMANENT, "ERR"),
    ("ERR user_script:12: attempt to index a nil value", PERMANENT, "ERR"),
]


@pytest.mark.parametrize(("reply", "kind", "code"), REPLIES, ids=[reply[:40] for reply, _, _ in REPLIES])
def test_a_servers_reply_says_what_helps(reply: str, kind: ErrorKind, code: str) -> None:
    error = BaseParser.parse_error(reply)
    trouble = diagnose(error)
    assert (trouble.kind, trouble.code) == (kind, code)
    assert isinstance(store_error(error), StoreRefusedError if kind is PERMANENT else StoreUnavailableError)


CLIENT = redis.Redis(username="somebody", password="hidden")
NO_PASSWORD = redis.AuthenticationError("invalid username-password pair or user is disabled.")

CLASSES: list[tuple[Exception, ErrorKind]] = [
    (redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."), TRANSIENT),
    (redis.ConnectionError("Error -2 connecting to nowhere:1. Name or service not known."), TRANSIENT),
    (redis.TimeoutError("Timeout reading from 127.0.0.1:1"), TRANSIENT),
    (redis.TimeoutError("Timeout connecting to server"), TRANSIENT),
    (redis.BusyLoadingError("Redis is loading the dataset in memory"), TRANSIENT),
    (MasterNotFoundError("No master found for 'mymaster'"), TRANSIENT),
    (MasterNotFoundError(f"No master found for 'm' : {CLIENT} - network:ConnectionError, {CLIENT} - x"), TRANSIENT),
    (MasterNotFoundError(f"No master found for 'm' : {CLIENT} - {NO_PASSWORD!r}"), PERMANENT),
    (TimeoutError(), TRANSIENT),
    (OSError("no route"), TRANSIENT),
    (redis.ConnectionError("Connection closed by server."), WRONG_PEER),
    (redis.ConnectionError("Error 32 while writing to socket. Broken pipe."), WRONG_PEER),
    (ConnectionResetError("reset"), WRONG_PEER),
    (InvalidResponse("Protocol Error: HTTP/1.1"), WRONG_PEER),
    (redis.AuthenticationError("invalid username-password pair"), PERMANENT),
    (redis.ConnectionError("Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] failed"), PERMANENT),
    (redis.DataError("Invalid input of type: 'NoneType'."), PERMANENT),
]


@pytest.mark.parametrize(("error", "kind"), CLASSES, ids=[repr(error)[:60] for error, _ in CLASSES])
def test_an_error_of_the_client_says_what_helps(error: Exception, kind: ErrorKind) -> None:
    assert diagnose(error).kind is kind


def test_no_argument_of_a_command_gets_into_the_sentence() -> None:
    reply = "Command # 1 (SET k {'card': 4711}) of pipeline caused error: WRONGTYPE Operation against a key"
    refused = store_error(redis.ResponseError(reply))
    assert refused.code == "WRONGTYPE"
    assert "4711" not in str(refused)
    unknown = store_error(redis.ResponseError("ERR unknown command 'FOO', with args beginning with: '4711' "))
    assert "4711" not in str(unknown)
    assert "FOO" in str(unknown)


def test_a_refusal_says_what_to_do() -> None:
    refused = store_error(BaseParser.parse_error("NOPERM User bridge has no permissions to run the 'ping' command"))
    assert str(refused) == (
        "Redis refuses the command for good: NOPERM: User bridge has no permissions to run the 'ping' command. "
        "Give this user of Redis the rights that docs/operating.md lists."
    )


def test_sentinels_that_are_away_are_told_without_their_clients() -> None:
    told = diagnose(MasterNotFoundError(f"No master found for 'm' : {CLIENT} - one, {CLIENT} - two, {CLIENT} - one"))
    assert told.text == "No master found for 'm': one, two"
