"""``ScriptAhead``: a script call that is made ready, sent, and whose answer is read later, while Redis works on it."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError


class ScriptAhead:
    """One call, on a connection of its own, which is closed if nobody reads the answer.

    It is not tried again when the connection breaks; only a server that has forgotten the script is asked again.

    Args:
        client: whose pool the connection is taken from.
        script: registered with it.
        keys: of the call.
        arguments: of the call.

    Raises:
        redis.RedisError: there is no connection.
    """

    __slots__ = ("_again", "_connection", "_packed", "_pool")

    def __init__(
        self, client: redis.Redis, script: Script, keys: Sequence[str], arguments: Sequence[str | int | bytes]
    ) -> None:
        self._connection: Any = None
        self._again: Any = lambda: script(keys=keys, args=arguments)
        self._pool: Any = client.connection_pool
        # A number would be turned into text in C, where redis-py's packer does not bear a signal's exception.
        words = [argument if isinstance(argument, bytes) else str(argument) for argument in arguments]
        try:
            self._connection = self._pool.get_connection()
            self._packed = self._connection.pack_command("EVALSHA", script.sha, str(len(keys)), *keys, *words)
        except BaseException:
            self.abandon()
            raise

    def send(self) -> None:
        """Ask Redis; once.

        Raises:
            redis.RedisError: the call could not be sent.
        """
        try:
            self._connection.send_packed_command(self._packed)
        except BaseException:
            self.abandon()
            raise

    def answer(self) -> Any:
        """Wait for the answer; once.

        Raises:
            redis.RedisError: the script failed, or the connection broke; the call may have been made.
        """
        try:
            answer = self._connection.read_response()
        except NoScriptError:
            self._release()
            return self._again()  # loads the script
        except redis.ResponseError:
            self._release()
            raise
        except BaseException:
            self.abandon()
            raise
        self._release()
        return answer

    def abandon(self) -> None:
        """Close the connection: what may have been sent on it, nobody will read the answer. Idempotent."""
        if self._connection is not None:
            self._connection.disconnect()
            self._release()

    def __del__(self) -> None:
        """A signal's exception may come between the call and whoever was to keep it."""
        self.abandon()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._pool.release(connection)
