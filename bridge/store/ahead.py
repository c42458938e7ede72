"""``ScriptAhead``: a script call that is sent now and whose answer is read later, while Redis works on it."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError


class ScriptAhead:
    """One call on its way, on a connection of its own.

    It is not tried again when the connection breaks; only a server that has forgotten the script is asked again.

    Args:
        client: whose pool the connection is taken from.
        script: registered with it.
        keys: of the call.
        arguments: of the call.

    Raises:
        redis.RedisError: the call could not be sent.
    """

    __slots__ = ("_again", "_connection", "_pool")

    def __init__(
        self, client: redis.Redis, script: Script, keys: Sequence[str], arguments: Sequence[str | int | bytes]
    ) -> None:
        self._again: Any = lambda: script(keys=keys, args=arguments)
        self._pool: Any = client.connection_pool
        self._connection: Any = self._pool.get_connection()
        try:
            send: Any = self._connection.send_command
            send("EVALSHA", script.sha, len(keys), *keys, *arguments)
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
        """Close the connection, whose answer nobody will read. Idempotent."""
        if self._connection is not None:
            self._connection.disconnect()
            self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._pool.release(connection)
