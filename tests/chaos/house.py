"""A home, a fake vendor and the real command line: what kill tests work with."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from multiagent.testing.scripted_script import Reply, Script, read_ledger

DEADLINE_S = 120
RULES = Script(default=Reply(kind="planner", latency_s=0.03))


@dataclass(frozen=True, slots=True)
class Job:
    """A query with its files."""

    query: str
    files: tuple[Path, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """As written on the command line."""
        return [self.query, *(part for file in self.files for part in ("--attach", str(file)))]


@dataclass(slots=True)
class Run:
    """One process of the command line, and what it left."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, object]:
        """The JSON it printed."""
        parsed: dict[str, object] = json.loads(self.out)
        return parsed


@dataclass(slots=True)
class House:
    """A home with an environment of its own; ``url`` is the vendor's."""

    home: Path
    cache: Path
    url: str
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self, fault: str = "") -> dict[str, str]:
        """The environment of a process in this house."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULTIAGENT_", "OPENAI_"))}
        kept |= {"MULTIAGENT_HOME": str(self.home), "MULTIAGENT_CACHE": str(self.cache)}
        kept |= {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "test-key", "PYTHONHASHSEED": "random", **self.extra}
        return kept | ({"MULTIAGENT_FAULT": fault} if fault else {})

    def start(self, *arguments: str, fault: str = "") -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "multiagent.cli.main", *arguments],
            env=self.environment(fault),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fault: str = "") -> Run:
        """Run a command to its end."""
        return self.finish(self.start(*arguments, fault=fault))

    def finish(self, process: subprocess.Popen[str]) -> Run:
        """Wait for a command's end."""
        out, err = process.communicate(timeout=DEADLINE_S)
        return Run(process.returncode, out, err)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the database past the program under test."""
        path = self.home / "multiagent.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()

    def tasks(self) -> dict[str, str]:
        """Each task's status."""
        return {str(task): str(status) for task, status in self.rows("SELECT id, status FROM task_executions")}

    def in_flight(self) -> list[str]:
        """The steps that have begun and have no result, as ``task:step``."""
        sql = "SELECT task, key FROM results WHERE status = 'leased' ORDER BY task, key"
        return [f"{str(task)[-6:]}:{key}" for task, key in self.rows(sql)]

    def held(self) -> int:
        """Model calls reserved and neither settled nor lost."""
        return len(self.rows("SELECT id FROM reservations WHERE state = 'held'"))

    def events(self, task: str) -> list[tuple[str, str, dict[str, object]]]:
        """Key, kind and payload of a task's events, in order."""
        sql = """SELECT e.key, e.kind, p.payload FROM events e
         JOIN event_payloads p ON p.tenant_id = e.tenant_id AND p.task = e.task AND p.seq = e.seq
         WHERE e.task = ? ORDER BY e.seq"""
        return [(str(key), str(kind), json.loads(bytes(payload))) for key, kind, payload in self.rows(sql, task)]


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9 a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=DEADLINE_S)


def done_twice(events: list[tuple[str, str, dict[str, object]]]) -> list[str]:
    """The steps that began again after their result was committed, or were committed more than once.

    A ``step.failed`` of ``ENGINE_*`` or ``STORAGE_*`` is no result: it says that an attempt was interrupted.
    """
    committed: set[str] = set()
    again: list[str] = []
    for _, kind, payload in events:
        step, code = str(payload.get("step", "")), str(payload.get("code", ""))
        ends = kind == "step.completed" or (kind == "step.failed" and not code.startswith(("ENGINE_", "STORAGE_")))
        if step in committed and (ends or kind == "step.started"):
            again.append(step)
        if ends:
            committed.add(step)
    return again


def substance(events: list[tuple[str, str, dict[str, object]]]) -> dict[str, object]:
    """What must be equal between two runs of a job: the plan, and each answer and tool result by its content's hash."""
    said = {
        (kind, str(payload["head"]))
        for _, kind, payload in events
        if kind in {"message.completed", "tool.completed", "tool.failed"}
    }
    plans = [payload for _, kind, payload in events if kind == "task.planned"]
    return {"plan": plans, "said": sorted(said)}


@contextmanager
def vendor(folder: Path, script: Script = RULES) -> Iterator[tuple[str, Path]]:
    """Run the fake vendor as a process; yield its URL and its ledger."""
    rules, ledger = folder / "script.json", folder / "ledger.jsonl"
    rules.write_bytes(msgspec.json.encode(script))
    command = [sys.executable, "-m", "multiagent.testing.scripted", "--script", str(rules), "--ledger", str(ledger)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1", ledger
    finally:
        process.kill()
        process.communicate()


def calls(ledger: Path) -> Mapping[str, int]:
    """Calls begun, and tokens billed, by a ledger."""
    lines = read_ledger(ledger) if ledger.exists() else []
    return {
        "began": sum(line.event == "began" for line in lines),
        "tokens": sum(line.prompt + line.completion for line in lines if line.event == "billed"),
    }
