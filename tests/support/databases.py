"""PostgreSQL and MariaDB of one's own, on free ports and in folders that go away with them, and databases on them."""

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pymysql
import pytest

from bridge.local.redis_server import free_port
from tests.support.needs import needs_program
from tests.support.processes import wait_until_gone
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

KINDS = ("postgresql", "mariadb", "sqlite")
DRIVERS = {"postgresql": "psycopg", "mariadb": "pymysql", "sqlite": "pysqlite"}
ASYNC_DRIVERS = {"postgresql": "asyncpg", "mariadb": "aiomysql", "sqlite": "aiosqlite"}
USERS = {"postgresql": "postgres", "mariadb": "mysql"}
"""Neither server runs as root."""
DURABLE = "TESTS_DURABLE_DATABASES"
"""The variable with which they write to the disk as in production, for measurements: no test ends a server to go on."""


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database of a kind."""

    kind: str
    address: str  # user, host, port and name, as in a URL

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"{self.kind}+{DRIVERS[self.kind]}://{self.address}"

    @property
    def async_url(self) -> str:
        """The same by a driver for asyncio."""
        return f"{self.kind}+{ASYNC_DRIVERS[self.kind]}://{self.address}"


def new_database(kind: str, shared: Path, folder: Path) -> Database:
    """One that nobody else uses. ``shared`` is the run's folder, by which its processes find the server."""
    if kind == "sqlite":
        return Database(kind, f"/{folder / f'{uuid4().hex}.sqlite'}")
    port = _shared_server(kind, shared)
    name = f"test_{uuid4().hex}"
    _execute(kind, port, f"CREATE DATABASE {name}")
    return Database(kind, f"{USERS[kind]}@127.0.0.1:{port}/{name}")


def _execute(kind: str, port: int, statement: str) -> None:
    if kind == "postgresql":
        with psycopg.connect(host="127.0.0.1", port=port, user="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())
    else:
        with pymysql.connect(host="127.0.0.1", port=port, user="mysql") as connection, connection.cursor() as cursor:
            cursor.execute(statement)


def _shared_server(kind: str, shared: Path) -> int:
    """The port of the server of a run: whoever asks first starts it, and ``end_shared_databases`` ends it."""
    with (shared / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = shared / f"{kind}.json"
        if not said.exists():
            folder = Path(tempfile.mkdtemp(prefix=f"bridge-{kind}-"))
            port = free_port()
            process = _START[kind](folder, port)
            _kept.append(process)
            said.write_text(json.dumps({"pid": process.pid, "port": port, "folder": str(folder)}))
            _wait_for(kind, port, process, folder)
        return int(json.loads(said.read_text())["port"])


_kept: "list[subprocess.Popen[bytes]]" = []
"""What this process started and does not end."""


def end_shared_databases(shared: Path) -> None:
    """End those that anybody started."""
    for kind in USERS:
        if (said := shared / f"{kind}.json").exists():
            found = json.loads(said.read_text())
            with suppress(ProcessLookupError):
                os.kill(found["pid"], signal.SIGQUIT if kind == "postgresql" else signal.SIGKILL)
            wait_until_gone({kind: found["pid"]})
            shutil.rmtree(found["folder"], ignore_errors=True)


def _as_user(kind: str, folder: Path) -> list[str]:
    """What is put before a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam(USERS[kind])
    except KeyError:
        pytest.fail(f"there is no user {USERS[kind]}, as whom {kind} runs here")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [needs_program("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _start_postgresql(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    program = str(programs[-1] / "initdb") if programs else needs_program("initdb")
    user = _as_user("postgresql", folder)
    data = str(folder / "data")
    made = [*user, program, "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run(made, check=True, capture_output=True, timeout=PROCESS_TIMEOUT_S, cwd="/")
    options = [
        "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder),
        "-c", "max_connections=200", "-c", "shared_buffers=64MB",
        *(() if os.environ.get(DURABLE) else ("-c", "fsync=off", "-c", "full_page_writes=off")),
    ]  # fmt: skip
    return _begun([*user, str(Path(program).with_name("postgres")), *options], folder)


def _start_mariadb(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    program = needs_program("mariadbd")
    user = _as_user("mariadb", folder)
    data = folder / "data"
    common = ["--no-defaults", f"--datadir={data}"]
    made = [
        *user, needs_program("mariadb-install-db"), *common, "--auth-root-authentication-method=normal",
        "--skip-test-db", "--innodb-log-file-size=48M",
    ]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, timeout=PROCESS_TIMEOUT_S, cwd="/")
    options = [
        f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
        "--skip-grant-tables", "--skip-networking=0", "--skip-name-resolve", "--max-connections=200",
        "--innodb-log-file-size=48M", "--max-allowed-packet=64M",
        *(() if os.environ.get(DURABLE) else ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync")),
    ]  # fmt: skip
    return _begun([*user, program, *common, *options], folder)


_START: dict[str, Callable[[Path, int], "subprocess.Popen[bytes]"]] = {
    "postgresql": _start_postgresql,
    "mariadb": _start_mariadb,
}


def _begun(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd="/")


def _wait_for(kind: str, port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            _execute(kind, port, "SELECT 1")
        except (psycopg.Error, pymysql.Error):
            return False
        return True

    wait_until(answers, what=f"{kind} is ready")
