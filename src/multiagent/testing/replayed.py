"""A pytest plugin: every run that the tests start is replayed at the end, in another process with another hash seed.

Tests open engines by ``recorded_engine``, or hand a finished home's runs to ``Register.record``; what the command line
left in homes under the session's temporary folder is found at its end. The summary prints
``replay: started = N, replayed = M, excluded = K (names)``; a session whose numbers differ fails.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest

from multiagent.core.errors import StorageError
from multiagent.core.outcome import Outcome
from multiagent.core.travel import Changes, Moment, Point
from multiagent.engines.base import Engine, RunResult, Step, Workflow
from multiagent.engines.embedded.lock import LOCK
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.engines.recording import record, write
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.factory import DATABASE, open_storage
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayer import Verdict

SECONDS: Final = 300
LOCAL: Final = "local"
"""The tenant of the command line."""


class Tally(msgspec.Struct):
    """What a session, or one of its workers, started and replayed."""

    started: int = 0
    replayed: int = 0
    excluded: list[str] = []
    drifted: list[str] = []

    def add(self, other: "Tally") -> None:
        """Take a worker's numbers in."""
        self.started += other.started
        self.replayed += other.replayed
        self.excluded += other.excluded
        self.drifted += other.drifted

    @property
    def complete(self) -> bool:
        """Whether everything started was replayed or excluded by name."""
        return self.started == self.replayed + len(self.excluded) and not self.drifted

    def line(self) -> str:
        """The summary's line."""
        names = f" ({', '.join(self.excluded)})" if self.excluded else ""
        return f"replay: started = {self.started}, replayed = {self.replayed}, excluded = {len(self.excluded)}{names}"


class Register:
    """The runs of a session: each started one is recorded, or excluded with a reason."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[tuple[str, str], str] = {}
        self._excluded: dict[tuple[str, str], str] = {}

    def knows(self, home: str, task: str) -> bool:
        """Whether a run has been noted already."""
        return (home, task) in self._started

    def start(self, home: str, task: str) -> None:
        """Note that a run was started; ``home`` tells apart equal ids in several databases."""
        self._started.setdefault((home, task), "")

    def exclude(self, home: str, task: str, reason: str) -> None:
        """Leave a run out of the replay, by name: it was made to drift, or to be unreadable."""
        self.start(home, task)
        self._excluded[home, task] = reason

    async def record(
        self, home: str, task: str, reader: Reader, objects: Objects, workflow: Workflow[Any, Any], tenant: str
    ) -> None:
        """Keep what replays a run; a later call for the same run, after a restart, replaces it."""
        self.start(home, task)
        row = await reader.task(tenant, task)
        if row is None or (home, task) in self._excluded:
            return
        recording = await record(reader, objects, tenant, task, workflow, messages=False)
        number = list(self._started).index((home, task))
        (self._folder / f"{number:06}.json").write_bytes(write(recording))

    def replay(self) -> Tally:
        """Replay what was recorded, in another process."""
        for place, run in enumerate(self._started):
            if run in self._excluded:
                (self._folder / f"{place:06}.json").unlink(missing_ok=True)
        verdict = replay_elsewhere(self._folder) if self._started else Verdict(0, ())
        names = [f"{task}: {reason}" for (_, task), reason in self._excluded.items()]
        return Tally(len(self._started), verdict.replayed, names, list(verdict.drifted))


def replay_elsewhere(folder: Path, *, path: Sequence[str] = ()) -> Verdict:
    """Replay a folder of recordings in another process with another hash seed.

    ``path`` goes before its own, and is not compiled to files: code there may change within a second.
    """
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([*path, *sys.path])}
    done = subprocess.run(
        [sys.executable, *(("-B",) if path else ()), "-m", "multiagent.testing.replayer", str(folder)],
        env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        return Verdict(0, (f"the replaying process failed: {done.stderr[-2000:]}",))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Verdict)


class RecordedEngine:
    """An engine whose runs are registered."""

    def __init__(self, engine: Engine, home: str, register: Register, reader: Reader) -> None:
        self._reader = reader
        self._engine = engine
        self._home = home
        self._register = register
        self.seen: dict[tuple[str, str], str] = {}

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002 — the port's name
        """See ``Engine.start``."""
        await self._engine.start(tenant, task, workflow, input)
        self._register.start(self._home, task)
        self.seen[tenant, task] = workflow

    def exclude(self, task: str, reason: str) -> None:
        """Leave a run out of the replay, by name."""
        self._register.exclude(self._home, task, reason)

    async def result(self, tenant: str, task: str) -> RunResult:
        """See ``Engine.result``."""
        return await self._engine.result(tenant, task)

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 — the port's
        """See ``Engine.signal``."""
        await self._engine.signal(tenant, task, name, value, id)

    async def query(self, tenant: str, task: str, name: str) -> bytes:
        """See ``Engine.query``."""
        return await self._engine.query(tenant, task, name)

    async def cancel(self, tenant: str, task: str, reason: str) -> None:
        """See ``Engine.cancel``."""
        await self._engine.cancel(tenant, task, reason)

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002 — the port's
        """See ``Engine.pause``."""
        await self._engine.pause(tenant, task, reason, id)

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002 — the port's
        """See ``Engine.resume``."""
        await self._engine.resume(tenant, task, id)

    async def state(self, tenant: str, task: str, at: Point) -> Moment:
        """See ``Engine.state``."""
        return await self._engine.state(tenant, task, at)

    async def fork(self, tenant: str, new_id: str, parent: str, at: Point, changes: Changes) -> None:
        """See ``Engine.fork``; the fork is a run like any other."""
        await self._engine.fork(tenant, new_id, parent, at, changes)
        self._register.start(self._home, new_id)
        row = await self._reader.task(tenant, new_id)
        assert row is not None
        self.seen[tenant, new_id] = row.workflow

    async def release(self, tenant: str, task: str) -> None:
        """See ``Engine.release``."""
        await self._engine.release(tenant, task)

    async def history(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """See ``Engine.history``."""
        return await self._engine.history(tenant, task)

    async def replay(self, tenant: str, task: str) -> RunResult:
        """See ``Engine.replay``."""
        return await self._engine.replay(tenant, task)

    async def recover(self, lacks: Callable[[bytes], str] = lambda _input: "") -> tuple[str, ...]:
        """See ``RecoveringEngine.recover``; nothing for an engine whose runs live elsewhere."""
        recover = getattr(self._engine, "recover", None)
        return () if recover is None else cast("tuple[str, ...]", await recover(lacks))


def recorded_engine(
    register: Register,
    home: Path,
    parts: EngineParts,
    workflows: Sequence[Workflow[Any, Any]],
    steps: Sequence[Step[Any, Any]],
) -> AbstractAsyncContextManager[RecordedEngine]:
    """Open the embedded engine; at the end keep every run that was started through it."""
    return recorded_by(register, home, parts, workflows, open_engine(home, parts, workflows, steps))


@asynccontextmanager
async def recorded_by(
    register: Register,
    home: Path,
    parts: EngineParts,
    workflows: Sequence[Workflow[Any, Any]],
    opening: AbstractAsyncContextManager[Engine],
    kind: type[RecordedEngine] = RecordedEngine,
) -> AsyncIterator[RecordedEngine]:
    """Open any engine; at the end keep every run that was started through it."""
    by_name = {workflow.name: workflow for workflow in workflows}
    async with opening as engine:
        recorded = kind(engine, str(home), register, parts.reader)
        yield recorded
    for (tenant, task), name in list(recorded.seen.items()):
        await register.record(str(home), task, parts.reader, parts.objects, by_name[name], tenant)


async def sweep(register: Register, config: pytest.Config) -> None:
    """Record what programs under test, in processes of their own, have left in homes under the temporary folder."""
    factory = getattr(config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if base is None:
        return
    for lock in sorted(Path(base).rglob(LOCK)):
        await _sweep_home(register, lock.parent)


async def _sweep_home(register: Register, home: Path) -> None:
    """Record the runs of one home that nobody has noted; a home that cannot be read is excluded by its name."""
    if not (home / DATABASE).exists():
        return
    try:
        async with open_storage(home, clock=ManualClock(), ids=CountedIds(), synchronous="NORMAL") as storage:
            for row in await storage.reader.tasks(LOCAL, limit=10_000):
                if row.status != "queued" and row.input and not register.knows(str(home), row.id):
                    await register.record(str(home), row.id, storage.reader, storage.objects, TASK, LOCAL)
    except StorageError as error:
        register.exclude(str(home), home.name, f"unreadable home, {error.code}")


_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_REGISTER = pytest.StashKey[Register]()
_TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    """Start a register in each process of the session."""
    folder = tempfile.TemporaryDirectory(prefix="replayed-")
    config.stash[_FOLDER] = folder
    config.stash[_REGISTER] = Register(Path(folder.name))
    config.stash[_TALLY] = Tally()


@pytest.fixture(scope="session")
def register(pytestconfig: pytest.Config) -> Register:
    """Where tests note the runs they start."""
    return pytestconfig.stash[_REGISTER]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Replay this process's runs; a worker tells the controller, who fails an incomplete session."""
    config = session.config
    tally = config.stash[_TALLY]
    register = config.stash[_REGISTER]
    if not config.pluginmanager.hasplugin("dsession"):  # a controller has run no test itself
        asyncio.run(sweep(register, config))
    tally.add(register.replay())
    worker = getattr(config, "workeroutput", None)
    if worker is not None:
        worker["replayed"] = msgspec.json.encode(tally).decode()
    elif not tally.complete and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take a worker's numbers in."""
    told = getattr(node, "workeroutput", {}).get("replayed")
    config = getattr(node, "config", None)
    if told is not None and isinstance(config, pytest.Config):
        config.stash[_TALLY].add(msgspec.json.decode(told, type=Tally))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the line, and what drifted."""
    tally = config.stash[_TALLY]
    if not tally.started:
        return
    if not tally.complete:
        terminalreporter.section("runs that do not replay", red=True)
        for reason in tally.drifted:
            terminalreporter.write_line(reason)
    terminalreporter.write_line(tally.line())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the recordings."""
    if _FOLDER in config.stash:
        config.stash[_FOLDER].cleanup()
