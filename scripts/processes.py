"""Processes that are started together, looked after, and stopped in good order, also later by another process."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

READY_S: Final = 120.0
"""How long a server or a service may take until it answers."""
LEAVE_S: Final = 45.0
"""How long one may take to end: a service drains for 30 s at the most."""
PIDS: Final = "pids"
ROLES: Final = ("orchestrator", "agent", "llm")


class Trouble(Exception):
    """Something that is missing or did not start; the message says what to do."""


def say(text: str) -> None:
    """Print progress."""
    print(f"distributed: {text}", file=sys.stderr, flush=True)


@dataclass
class Stage:
    """Everything that was started, in order. Each process is a session of its own: it gets no Ctrl-C but ours.

    ``passing``: nobody asked for this folder by name, and nobody needs it once all went well.
    """

    folder: Path
    passing: bool = False
    running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def log(self, name: str) -> Path:
        """Return where a process writes what it says."""
        return self.folder / "logs" / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], user: str | None = None, **env: str) -> "Started":
        """Start a process; its standard output can be read, all else goes to its log."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log if user or name in ("temporal", "opa") else subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                user=user,
                cwd=self.folder,
                env={**os.environ, **env},
            )
        self.running.append((name, process))
        with (self.folder / PIDS).open("a", encoding="utf-8") as file:
            file.write(f"{process.pid} {name} {command[0]}\n")
        return Started(name, process, self.log(name))

    def stop(self) -> None:
        """End all, the last ones first: services drain while their servers are there."""
        self._end([one for one in self.running if one[0] in ROLES])
        for one in reversed([one for one in self.running if one[0] not in ROLES]):
            self._end([one])

    def clear(self) -> None:
        """Delete all that was made."""
        if (data := self.folder / "postgres").is_symlink():
            shutil.rmtree(data.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, ending: list[tuple[str, subprocess.Popen[bytes]]]) -> None:
        for name, process in ending:
            if process.poll() is None:
                say(f"stopping {name}")
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for name, process in ending:
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                say(f"{name} does not end; it is killed")
                process.kill()
                process.wait(LEAVE_S)


@dataclass
class Started:
    """A process that may still have to get ready."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises Trouble where it ended before, or took too long."""
        deadline = time.monotonic() + READY_S
        while not ready():
            ended = self.process.poll()
            if ended is not None:
                raise Trouble(f"{self.name} ended with code {ended}; see {self.log}\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} is not ready after {READY_S:g} s; see {self.log}\n{self._last_words()}")
            time.sleep(0.05)

    def line(self) -> str:
        """Return the next line of its standard output. Raises Trouble where it ended first."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(LEAVE_S)
            raise Trouble(
                f"{self.name} ended with code {self.process.returncode}; see {self.log}\n{self._last_words()}"
            )
        return line.decode()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-5:])


def stop_left(folder: Path) -> int:
    """End what an earlier ``--keep`` left running in a folder."""
    try:
        lines = (folder / PIDS).read_text("utf-8").splitlines()
    except OSError as error:
        raise Trouble(f"{folder} is no folder of a platform that was left running: {error.strerror}") from None
    rows = [(int(pid), name, command) for pid, name, command in (line.split(" ", 2) for line in lines)]
    services = [row for row in rows if row[1] in ROLES]
    for group in (services, *([row] for row in reversed(rows) if row not in services)):
        alive = [(pid, name) for pid, name, command in group if is_running(pid, command)]
        for pid, name in alive:
            say(f"stopping {name}")
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        deadline = time.monotonic() + LEAVE_S
        while any(is_running(pid, command) for pid, _, command in group) and time.monotonic() < deadline:
            time.sleep(0.1)
    return 0


def is_running(pid: int, command: str) -> bool:
    """Whether a process still is the one that was started: a pid may have become another's."""
    found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return Path(command).name in found.stdout and "<defunct>" not in found.stdout
